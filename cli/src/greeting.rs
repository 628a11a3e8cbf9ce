//! What `turnpike serve` says once it serves: where, what, and what to try. Pure.

use std::net::SocketAddr;
use std::path::Path;

/// Where the gateway was started and what it found.
pub(crate) struct Started<'a> {
    pub(crate) listen: SocketAddr,
    pub(crate) listen_tls: Option<SocketAddr>,
    pub(crate) admin: SocketAddr,
    pub(crate) directory: &'a Path,
    /// Sorted.
    pub(crate) hosts: &'a [String],
    pub(crate) faults: usize,
    /// The directory's `NOTES.txt`.
    pub(crate) notes: Option<&'a str>,
}

/// Gives the text, a few lines, with a newline at the end.
pub(crate) fn text(started: &Started<'_>) -> String {
    let url = url(started.listen);
    let mut lines = vec![format!("turnpike serves {} on {url}", hosts(started.hosts))];
    if let Some(address) = started.listen_tls {
        lines.push(format!("  over TLS on port {}", address.port()));
    }
    lines.push(format!(
        "  health and metrics on {}",
        self::url(started.admin)
    ));
    if started.faults > 0 {
        lines.push(format!(
            "  {} in {}; see: turnpike check -f {}",
            match started.faults {
                1 => "1 fault".to_owned(),
                count => format!("{count} faults"),
            },
            started.directory.display(),
            started.directory.display(),
        ));
    }
    let mut text = lines.join("\n") + "\n";
    if let Some(notes) = started.notes {
        text.push('\n');
        text.push_str(notes.replace("$TURNPIKE_URL", &url).trim_end());
        text.push('\n');
    }
    text
}

fn hosts(hosts: &[String]) -> String {
    match hosts {
        [] => "no host yet".to_owned(),
        [one] => one.clone(),
        [first, second] => format!("{first} and {second}"),
        [first, second, rest @ ..] => format!("{first}, {second} and {} more hosts", rest.len()),
    }
}

/// Loopback by the name that browsers and examples use.
fn url(address: SocketAddr) -> String {
    if address.ip().is_loopback() || address.ip().is_unspecified() {
        format!("http://localhost:{}", address.port())
    } else {
        format!("http://{address}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn started<'a>(hosts: &'a [String], faults: usize, notes: Option<&'a str>) -> Started<'a> {
        Started {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            listen_tls: None,
            admin: SocketAddr::from(([10, 0, 0, 7], 9090)),
            directory: Path::new("conf"),
            hosts,
            faults,
            notes,
        }
    }

    #[test]
    fn it_tells_where_what_and_what_to_try() {
        let hosts = ["localhost".to_owned()];
        assert_eq!(
            text(&started(
                &hosts,
                0,
                Some("curl $TURNPIKE_URL/v1/models\n\n")
            )),
            "turnpike serves localhost on http://localhost:8080\n  \
             health and metrics on http://10.0.0.7:9090\n\n\
             curl http://localhost:8080/v1/models\n"
        );
    }

    #[test]
    fn faults_are_counted_and_the_way_to_see_them_named() {
        let text = text(&started(&[], 2, None));
        assert!(text.contains("serves no host yet"), "{text}");
        assert!(
            text.contains("2 faults in conf; see: turnpike check -f conf"),
            "{text}"
        );
    }

    #[test]
    fn many_hosts_are_summed_up() {
        let hosts: Vec<String> = ["a", "b", "c", "d"].map(Into::into).into();
        assert_eq!(super::hosts(&hosts), "a, b and 2 more hosts");
        assert_eq!(super::hosts(&hosts[..2]), "a and b");
    }
}
