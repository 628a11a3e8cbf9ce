//! How the CAs stand in the Secret; pure.
//!
//! ```text
//! ca.crt, ca.key        signs
//! next.crt, next.key    will sign; next.published: when it was first seen in the bundle
//! previous.crt          signed before, and is trusted until its end
//! ```

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::ByteString;
use secrecy::{ExposeSecret, SecretString};

use crate::trust::certificate::{self, Ca, CaCertificate};
use crate::trust::moment::Moment;
use crate::trust::rotation::{Authority, Certificate, Held, Next};

/// Of the public bundle, in the Secret and in the ConfigMap.
pub const CERTIFICATE: &str = "ca.crt";
const KEY: &str = "ca.key";
const NEXT_CERTIFICATE: &str = "next.crt";
const NEXT_KEY: &str = "next.key";
const NEXT_PUBLISHED: &str = "next.published";
const PREVIOUS_CERTIFICATE: &str = "previous.crt";

type Data = BTreeMap<String, ByteString>;

/// What is wrong with a key of the Secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error("{0} is missing")]
    Missing(&'static str),
    #[error("{0} is not a time such as 2026-11-26T12:00:00Z")]
    Time(&'static str),
    #[error("{0} and its key: {1}")]
    Authority(&'static str, certificate::Fault),
}

/// Reads what is held; `None`: there is nothing yet.
pub fn read(data: &Data) -> Result<Option<Held<Ca>>, Fault> {
    if [CERTIFICATE, KEY]
        .iter()
        .all(|key| !data.contains_key(*key))
    {
        return Ok(None);
    }
    let signing = read_ca(data, CERTIFICATE, KEY)?;
    let next = match data.contains_key(NEXT_CERTIFICATE) {
        true => Some(Next {
            authority: read_ca(data, NEXT_CERTIFICATE, NEXT_KEY)?,
            published: read_time(data, NEXT_PUBLISHED)?,
        }),
        false => None,
    };
    let previous = match data.contains_key(PREVIOUS_CERTIFICATE) {
        true => {
            let read = CaCertificate::read(text(data, PREVIOUS_CERTIFICATE)?);
            Some(read.map_err(|fault| Fault::Authority(PREVIOUS_CERTIFICATE, fault))?)
        }
        false => None,
    };
    Ok(Some(Held {
        signing,
        next,
        previous,
    }))
}

/// Puts what is held in place of what was; other keys stay.
pub fn write(held: &Held<Ca>, data: &mut Data) {
    let published = held.next.as_ref().and_then(|next| next.published);
    let next = held.next.as_ref().map(|next| &next.authority);
    let previous = held.previous.as_ref();
    let secret = |ca: &Ca| ca.key().expose_secret().to_owned();
    let public = |ca: &Ca| ca.certificate().pem().to_owned();
    for (key, value) in [
        (CERTIFICATE, Some(public(&held.signing))),
        (KEY, Some(secret(&held.signing))),
        (NEXT_CERTIFICATE, next.map(public)),
        (NEXT_KEY, next.map(secret)),
        (NEXT_PUBLISHED, published.and_then(written)),
        (
            PREVIOUS_CERTIFICATE,
            previous.map(|previous| previous.pem().to_owned()),
        ),
    ] {
        match value {
            Some(value) => data.insert(key.to_owned(), ByteString(value.into_bytes())),
            None => data.remove(key),
        };
    }
}

fn read_ca(data: &Data, certificate: &'static str, key: &'static str) -> Result<Ca, Fault> {
    let secret = SecretString::from(text(data, key)?);
    let read = Ca::read(text(data, certificate)?, secret.expose_secret());
    read.map_err(|fault| Fault::Authority(certificate, fault))
}

fn read_time(data: &Data, key: &'static str) -> Result<Option<Moment>, Fault> {
    if !data.contains_key(key) {
        return Ok(None);
    }
    let time: Timestamp = text(data, key)?
        .trim()
        .parse()
        .map_err(|_| Fault::Time(key))?;
    Ok(Some(Moment(time.as_second())))
}

fn written(time: Moment) -> Option<String> {
    let time = Timestamp::from_second(time.0).ok()?;
    Some(time.to_string())
}

/// What is no text is read as an empty one, which nothing is.
fn text<'a>(data: &'a Data, key: &'static str) -> Result<&'a str, Fault> {
    let bytes = data.get(key).ok_or(Fault::Missing(key))?;
    Ok(std::str::from_utf8(&bytes.0).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Moment = Moment(1_800_000_000);

    fn full() -> Held<Ca> {
        Held {
            signing: Ca::make(NOW).unwrap(),
            next: Some(Next {
                authority: Ca::make(NOW).unwrap(),
                published: Some(NOW),
            }),
            previous: Some(Ca::make(NOW).unwrap().certificate().clone()),
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        let held = full();
        let mut data = Data::from([("notes".to_owned(), ByteString(b"mine".to_vec()))]);
        write(&held, &mut data);
        let read = read(&data).unwrap().unwrap();
        assert_eq!(read.bundle(), held.bundle());
        assert_eq!(read.next.unwrap().published, Some(NOW));
        assert_eq!(data["next.published"].0, b"2027-01-15T08:00:00Z");

        let alone = Held {
            next: None,
            previous: None,
            ..held
        };
        write(&alone, &mut data);
        let keys: Vec<_> = data.keys().map(String::as_str).collect();
        assert_eq!(keys, ["ca.crt", "ca.key", "notes"]);
    }

    #[test]
    fn an_empty_secret_holds_nothing_and_half_a_pair_is_a_fault() {
        assert!(read(&Data::new()).unwrap().is_none());
        let mut data = Data::new();
        write(&full(), &mut data);
        data.remove("ca.key");
        assert_eq!(read(&data).unwrap_err(), Fault::Missing("ca.key"));
    }

    #[test]
    fn faults_name_the_key_and_show_no_value() {
        for (key, is_told) in [
            ("ca.key", "ca.crt and its key"),
            ("next.crt", "next.crt and its key"),
            ("next.published", "next.published is not a time"),
            ("previous.crt", "previous.crt and its key"),
        ] {
            let mut data = Data::new();
            write(&full(), &mut data);
            data.insert(key.to_owned(), ByteString(b"canary".to_vec()));
            let fault = read(&data).unwrap_err().to_string();
            assert!(fault.contains(is_told), "{fault}");
            assert!(!fault.contains("canary"), "{fault}");
        }
    }
}
