//! Tables: who is believed, what is written, who the caller is.

use proptest::prelude::*;

use super::*;

const PEER: &str = "10.0.0.1";

fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
    let pair = |(name, value): &(&'static str, &str)| {
        let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
        (HeaderName::from_static(name), value)
    };
    lines.iter().map(pair).collect()
}

fn caller(trusted: &str, lines: &[(&'static str, &str)]) -> String {
    let forwarders: Forwarders = trusted.parse().unwrap();
    let peer = PEER.parse().unwrap();
    forwarders.caller(peer, &headers(lines)).to_string()
}

#[test]
fn headers_are_not_read_unless_somebody_is_trusted() {
    let lines = headers(&[
        ("x-forwarded-for", "192.0.2.1"),
        ("forwarded", "for=192.0.2.1"),
    ]);
    let peer: IpAddr = PEER.parse().unwrap();
    assert_eq!(Forwarders::Nobody.caller(peer, &lines), peer);
    assert!(!Forwarders::Nobody.trust(peer));
}

#[test]
fn a_count_walks_that_far_and_networks_as_far_as_they_reach() {
    let list = "6.6.6.6, 198.51.100.7, 192.0.2.9, 10.1.1.1";
    for (trusted, expected) in [
        ("1", "10.1.1.1"),
        ("2", "192.0.2.9"),
        ("3", "198.51.100.7"),
        ("4", "6.6.6.6"),
        ("5", "6.6.6.6"),
        ("10.0.0.0/8", "192.0.2.9"),
        ("10.0.0.1", "10.1.1.1"),
        ("10.0.0.0/8,192.0.2.0/24", "198.51.100.7"),
        ("0.0.0.0/0", "6.6.6.6"),
        ("172.16.0.0/12", PEER),
        ("fd00::/8", PEER),
    ] {
        assert_eq!(
            caller(trusted, &[("x-forwarded-for", list)]),
            expected,
            "{trusted}"
        );
    }
}

#[test]
fn forms_of_addresses() {
    for (written, expected) in [
        ("192.0.2.1", "192.0.2.1"),
        ("192.0.2.1:4711", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("[2001:db8::1]:4711", "2001:db8::1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("[::ffff:192.0.2.1]:80", "192.0.2.1"),
        ("\t192.0.2.1  ", "192.0.2.1"),
        ("192.0.2.1,", "192.0.2.1"),
        ("192.0.2.1 , ,,", "192.0.2.1"),
        // From here on nobody is named, and the peer is whom we know.
        ("", PEER),
        (",", PEER),
        ("unknown", PEER),
        ("_hidden", PEER),
        ("192.0.2.1 192.0.2.2", PEER),
        ("192.0.2.256", PEER),
        ("192.0.2", PEER),
        ("0xc0.0.2.1", PEER),
        ("192.0.2.1:", PEER),
        ("192.0.2.1:99999", PEER),
        ("[192.0.2.1]", PEER),
        ("[2001:db8::1", PEER),
        ("2001:db8::1]", PEER),
        ("fe80::1%eth0", PEER),
        ("\"192.0.2.1\"", PEER),
        ("localhost", PEER),
        ("192.0.2.1;", PEER),
    ] {
        assert_eq!(
            caller("1", &[("x-forwarded-for", written)]),
            expected,
            "{written:?}"
        );
    }
}

#[test]
fn forwarded_is_read_where_there_is_no_x_forwarded_for() {
    for (written, expected) in [
        ("for=192.0.2.1", "192.0.2.1"),
        ("For=\"192.0.2.1:80\"", "192.0.2.1"),
        ("for=\"[2001:db8::1]:4711\"", "2001:db8::1"),
        ("proto=https; FOR = 192.0.2.1 ;by=203.0.113.43", "192.0.2.1"),
        ("for=6.6.6.6, for=192.0.2.1", "192.0.2.1"),
        ("for=unknown", PEER),
        ("for=_SEVKISEK", PEER),
        ("by=192.0.2.1", PEER),
        ("for=\"192.0.2.1", PEER),
        ("for=", PEER),
        ("for", PEER),
        ("192.0.2.1", PEER),
        // An open quote of the caller's does not swallow what the proxy added.
        ("for=\"6.6.6.6, for=192.0.2.1", "192.0.2.1"),
        ("for=192.0.2.1;host=\"a,b\"", PEER),
    ] {
        assert_eq!(
            caller("1", &[("forwarded", written)]),
            expected,
            "{written:?}"
        );
    }
    let both = [
        ("forwarded", "for=6.6.6.6"),
        ("x-forwarded-for", "192.0.2.1"),
    ];
    assert_eq!(caller("1", &both), "192.0.2.1");
    let garbage = [("forwarded", "for=6.6.6.6"), ("x-forwarded-for", "unknown")];
    assert_eq!(caller("1", &garbage), PEER);
}

#[test]
fn what_a_caller_invents_changes_nothing() {
    let spoofs: [&[(&'static str, &str)]; 9] = [
        &[("x-forwarded-for", "6.6.6.6")],
        &[
            ("x-forwarded-for", "6.6.6.6"),
            ("x-forwarded-for", "7.7.7.7"),
        ],
        &[("x-forwarded-for", "10.0.0.7, 10.0.0.8, 10.0.0.9")],
        &[("x-forwarded-for", "unknown, , \"")],
        &[("x-forwarded-for", "[::1]:1,")],
        &[("x-forwarded-for", "")],
        &[("x-forwarded-for", "\u{fc}")],
        &[("forwarded", "for=6.6.6.6")],
        &[
            ("forwarded", "for=\"6.6.6.6"),
            ("x-forwarded-for", "6.6.6.6"),
        ],
    ];
    for spoof in spoofs {
        for trusted in ["1", "10.0.0.0/8"] {
            let lines = [spoof, &[("x-forwarded-for", "192.0.2.1")]].concat();
            assert_eq!(caller(trusted, &lines), "192.0.2.1", "{spoof:?}, {trusted}");
        }
        // The proxy appends to the last line, as many do.
        if let [.., ("x-forwarded-for", last)] = spoof {
            let line = format!("{last}, 192.0.2.1");
            let kept = spoof.len() - 1;
            let lines = [&spoof[..kept], &[("x-forwarded-for", line.as_str())]].concat();
            if line.is_ascii() {
                assert_eq!(caller("1", &lines), "192.0.2.1", "{line:?}");
            }
        }
    }
}

#[test]
fn trusted_ones_are_named_by_a_count_or_by_their_addresses() {
    for text in ["1", "10.0.0.0/8", "10.0.0.1", " fd00::/8 , ::1"] {
        assert!(text.parse::<Forwarders>().is_ok(), "{text}");
    }
    for text in [
        "",
        "0",
        "-1",
        "1,2",
        "1,10.0.0.0/8",
        "10.0.0.0/33",
        "proxy",
        "10.0.0.0/8,",
    ] {
        assert_eq!(text.parse::<Forwarders>(), Err(InvalidForwarders), "{text}");
    }
    assert!(
        "1".parse::<Forwarders>()
            .unwrap()
            .trust([192, 0, 2, 1].into())
    );
    let networks: Forwarders = "10.0.0.0/8".parse().unwrap();
    assert!(networks.trust("::ffff:10.0.0.1".parse().unwrap()));
    assert!(!networks.trust([192, 0, 2, 1].into()));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_comes_first_the_address_that_the_proxy_added_is_found(
        before in "[ -~\t]{0,80}",
        name in prop::sample::select(vec!["x-forwarded-for", "forwarded"]),
    ) {
        let added = if name == "forwarded" { "for=192.0.2.1" } else { "192.0.2.1" };
        let line = format!("{before},{added}");
        prop_assert_eq!(caller("1", &[(name, &line)]), "192.0.2.1");
    }
}
