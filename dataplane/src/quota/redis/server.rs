//! Where Redis is: at an address, or wherever Sentinels say that the primary is. No quota, no calls.

use std::time::Duration;

use percent_encoding::percent_decode_str;
use redis::sentinel::{Sentinel, SentinelNodeConnectionInfo};
use redis::{
    Client, ConnectionAddr, ConnectionInfo, ErrorKind, IntoConnectionInfo, RedisConnectionInfo,
    RedisError, RedisResult, TlsMode,
};
use tokio::time::timeout;

/// Most that Sentinels may take to name a primary and that one to say that it is.
const SEARCH_TIMEOUT: Duration = Duration::from_secs(2);
/// Where Sentinels listen unless told otherwise. Source: Redis' sentinel.conf.
const SENTINEL_PORT: u16 = 26379;

/// The URL cannot be used. Does not repeat it: it may hold a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a Redis URL: write redis://[user:password@]host[:port][/db], or rediss:// for TLS, or \
     redis+sentinel://[user:password@]host[:port],host[:port]/primary[/db] \
     (rediss+sentinel:// for TLS)"
)]
pub struct InvalidRedisUrl;

/// The server that keeps the quotas.
pub(super) enum Server {
    /// Always this one.
    Fixed(Box<Client>),
    /// Whichever is the primary.
    Named(Primary),
}

/// A primary by its name among Sentinels.
#[derive(Clone)]
pub(super) struct Primary {
    sentinels: Vec<ConnectionInfo>,
    name: String,
    tls: bool,
    redis: RedisConnectionInfo,
}

impl Server {
    pub(super) fn parse(url: &str) -> Result<Self, InvalidRedisUrl> {
        let named = [("redis+sentinel://", false), ("rediss+sentinel://", true)];
        for (scheme, tls) in named {
            if let Some(rest) = url.strip_prefix(scheme) {
                let primary = Primary::parse(rest, tls).ok_or(InvalidRedisUrl)?;
                return Ok(Self::Named(primary));
            }
        }
        let client = Client::open(url).map_err(|_| InvalidRedisUrl)?;
        Ok(Self::Fixed(Box::new(client)))
    }
}

impl Primary {
    /// Reads `[user:password@]host[:port],…/primary[/db][?sentinelUsername=…&sentinelPassword=…]`.
    fn parse(rest: &str, tls: bool) -> Option<Self> {
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = rest.split_once('/')?;
        let (user, hosts) = match authority.rsplit_once('@') {
            Some((user, hosts)) => (Some(user), hosts),
            None => (None, authority),
        };
        let (name, db) = path.split_once('/').unwrap_or((path, "0"));
        let mut redis = RedisConnectionInfo::default().set_db(db.parse().ok()?);
        if let Some(user) = user {
            let (username, password) = user.split_once(':')?;
            redis = with_login(redis, &decoded(username)?, &decoded(password)?);
        }
        let login = sentinel_login(query)?;
        let sentinels = hosts
            .split(',')
            .map(|host| sentinel(host, tls, login.clone()));
        let primary = Self {
            sentinels: sentinels.collect::<Option<_>>()?,
            name: decoded(name)?,
            tls,
            redis,
        };
        (!primary.name.is_empty()).then_some(primary)
    }

    /// Asks the Sentinels, a few at a time; the one they name must say itself that it is the primary.
    pub(super) async fn find(&self) -> RedisResult<Client> {
        let mut node =
            SentinelNodeConnectionInfo::default().set_redis_connection_info(self.redis.clone());
        if self.tls {
            node = node.set_tls_mode(TlsMode::Secure);
        }
        let mut sentinel = Sentinel::build(self.sentinels.clone())?;
        let search = sentinel.async_master_for(&self.name, Some(&node));
        let late = |_| RedisError::from((ErrorKind::Io, "no Sentinel answered in time"));
        timeout(SEARCH_TIMEOUT, search).await.map_err(late)?
    }
}

fn sentinel(host: &str, tls: bool, login: RedisConnectionInfo) -> Option<ConnectionInfo> {
    let authority: http::uri::Authority = host.parse().ok()?;
    let host = authority.host();
    let has_port = authority.as_str().len() > host.len();
    if has_port && authority.port_u16().is_none() {
        return None;
    }
    let bare = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    let host = bare.unwrap_or(host).to_owned();
    if host.is_empty() {
        return None;
    }
    let port = authority.port_u16().unwrap_or(SENTINEL_PORT);
    let address = match tls {
        false => ConnectionAddr::Tcp(host, port),
        true => ConnectionAddr::TcpTls {
            host,
            port,
            insecure: false,
            tls_params: None,
        },
    };
    Some(
        address
            .into_connection_info()
            .ok()?
            .set_redis_settings(login),
    )
}

/// What Sentinels themselves want to know, where they have a password of their own.
fn sentinel_login(query: &str) -> Option<RedisConnectionInfo> {
    let (mut username, mut password) = (String::new(), String::new());
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        match pair.split_once('=')? {
            ("sentinelUsername", value) => username = decoded(value)?,
            ("sentinelPassword", value) => password = decoded(value)?,
            _ => return None,
        }
    }
    Some(with_login(
        RedisConnectionInfo::default(),
        &username,
        &password,
    ))
}

fn with_login(
    mut redis: RedisConnectionInfo,
    username: &str,
    password: &str,
) -> RedisConnectionInfo {
    if !username.is_empty() {
        redis = redis.set_username(username);
    }
    if !password.is_empty() {
        redis = redis.set_password(password);
    }
    redis
}

fn decoded(text: &str) -> Option<String> {
    let decoded = percent_decode_str(text).decode_utf8().ok()?;
    Some(decoded.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn primary(url: &str) -> Primary {
        match Server::parse(url) {
            Ok(Server::Named(primary)) => primary,
            _ => panic!("{url}"),
        }
    }

    #[test]
    fn sentinels_are_read_from_the_url() {
        let primary = primary(
            "redis+sentinel://app:p%40ss@s1,s2:26380,[::1]:5/my%20primary/3\
             ?sentinelUsername=su&sentinelPassword=sp",
        );
        let addresses: Vec<String> = primary
            .sentinels
            .iter()
            .map(|sentinel| sentinel.addr().to_string())
            .collect();
        assert_eq!(addresses, ["s1:26379", "s2:26380", "::1:5"]);
        assert_eq!(primary.name, "my primary");
        assert_eq!(primary.redis.db(), 3);
        assert_eq!(primary.redis.username(), Some("app"));
        assert_eq!(primary.redis.password(), Some("p@ss"));
        let login = primary.sentinels[0].redis_settings();
        assert_eq!(login.username(), Some("su"));
        assert_eq!(login.password(), Some("sp"));
    }

    #[test]
    fn a_password_alone_and_tls_are_read() {
        let primary = primary("rediss+sentinel://:secret@s1/primary");
        assert!(primary.tls);
        assert_eq!(primary.redis.username(), None);
        assert_eq!(primary.redis.password(), Some("secret"));
        let address = primary.sentinels[0].addr();
        assert!(matches!(
            address,
            ConnectionAddr::TcpTls {
                insecure: false,
                ..
            }
        ));
    }

    #[test]
    fn other_urls_are_refused_without_repeating_them() {
        for url in [
            "redis+sentinel://",
            "redis+sentinel://s1",
            "redis+sentinel://s1/",
            "redis+sentinel:///primary",
            "redis+sentinel://s1,,s2/primary",
            "redis+sentinel://s1:x/primary",
            "redis+sentinel://s1/primary/x",
            "redis+sentinel://user@s1/primary",
            "redis+sentinel://s1/primary?other=1",
            "http://s1",
            "s1:6379",
        ] {
            assert!(Server::parse(url).is_err(), "{url}");
        }
        assert!(!InvalidRedisUrl.to_string().contains("s1"));
        assert!(matches!(Server::parse("redis://s1"), Ok(Server::Fixed(_))));
    }
}
