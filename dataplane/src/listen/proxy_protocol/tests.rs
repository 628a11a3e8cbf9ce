//! Tables of headers, whole, cut and wrong.

use proptest::prelude::*;

use super::*;

/// Feeds a header as a connection would: exactly what is asked for.
fn parse(bytes: &[u8]) -> Result<(Option<SocketAddr>, usize), Fault> {
    let mut seen = 0;
    loop {
        match step(&bytes[..seen])? {
            Step::Done(source) => return Ok((source, seen)),
            Step::More(0) => panic!("no progress at {seen}"),
            Step::More(more) if seen + more > bytes.len() => {
                return Err(Fault::Broken(io::ErrorKind::UnexpectedEof.into()));
            }
            Step::More(more) => seen += more,
        }
    }
}

fn told(bytes: &[u8]) -> String {
    match parse(bytes) {
        Ok((source, used)) => {
            assert_eq!(used, bytes.len(), "nothing is left of {bytes:?}");
            source.map_or("nobody".into(), |source| source.to_string())
        }
        Err(fault) => format!("{fault:?}").split('(').next().unwrap().into(),
    }
}

/// A header of version 2.
fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let mut header = SIGNATURE.to_vec();
    header.extend([command, family]);
    header.extend((rest.len() as u16).to_be_bytes());
    header.extend(rest);
    header
}

const V4: [u8; 12] = [192, 0, 2, 1, 10, 0, 0, 1, 0x12, 0x67, 1, 187];

fn v6() -> Vec<u8> {
    let mut rest = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)
        .octets()
        .to_vec();
    rest.extend([0; 16]);
    rest.extend([0x12, 0x67, 1, 187]);
    rest
}

#[test]
fn lines_of_version_1() {
    let longest = "PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n";
    assert_eq!(longest.len(), MAX_LINE);
    for (line, expected) in [
        (
            "PROXY TCP4 192.0.2.1 10.0.0.1 4711 443\r\n",
            "192.0.2.1:4711",
        ),
        ("PROXY TCP4 0.0.0.0 0.0.0.0 0 0\r\n", "0.0.0.0:0"),
        (
            "PROXY TCP6 2001:db8::1 ::1 4711 443\r\n",
            "[2001:db8::1]:4711",
        ),
        ("PROXY TCP6 :: :: 0 0\r\n", "[::]:0"),
        ("PROXY UNKNOWN\r\n", "nobody"),
        (longest, "nobody"),
        ("PROXY UNKNOWN whatever\r\n", "nobody"),
        ("PROXY TCP4 192.0.2.1 10.0.0.1 4711\r\n", "Malformed"),
        ("PROXY TCP4 192.0.2.1 10.0.0.1 4711 443 5\r\n", "Malformed"),
        ("PROXY TCP4  192.0.2.1 10.0.0.1 4711 443\r\n", "Malformed"),
        ("PROXY TCP4 2001:db8::1 ::1 4711 443\r\n", "Malformed"),
        ("PROXY TCP6 192.0.2.1 10.0.0.1 4711 443\r\n", "Malformed"),
        ("PROXY TCP4 192.0.2.1 10.0.0.1 65536 443\r\n", "Malformed"),
        ("PROXY TCP4 192.0.2.1 10.0.0.1 4711 x\r\n", "Malformed"),
        ("PROXY UDP4 192.0.2.1 10.0.0.1 4711 443\r\n", "Malformed"),
        ("PROXY UNKNOWNS\r\n", "Malformed"),
        ("PROXY \u{fc}\u{fc}\u{fc}\u{fc}\r\n", "Malformed"),
        ("proxy TCP4 192.0.2.1 10.0.0.1 4711 443\r\n", "NotOne"),
        ("GET / HTTP/1.1\r\nhost: a\r\n\r\n", "NotOne"),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "NotOne"),
        ("\r\n\r\n", "Broken"),
        ("PROXY TCP4 192.0.2.1", "Broken"),
        ("", "Broken"),
    ] {
        assert_eq!(told(line.as_bytes()), expected, "{line:?}");
    }
    let endless = format!("PROXY TCP4 {}\r\n", "1".repeat(200));
    assert_eq!(told(endless.as_bytes()), "TooLong");
}

#[test]
fn headers_of_version_2() {
    let more = |rest: &[u8], bytes: usize| [rest, &vec![4; bytes]].concat();
    for (header, expected) in [
        (v2(0x21, 0x11, &V4), "192.0.2.1:4711"),
        (v2(0x21, 0x21, &v6()), "[2001:db8::1]:4711"),
        (v2(0x21, 0x11, &more(&V4, 500)), "192.0.2.1:4711"),
        (
            v2(0x21, 0x11, &more(&V4, MAX_BINARY - 28)),
            "192.0.2.1:4711",
        ),
        (v2(0x20, 0x11, &V4), "nobody"),
        (v2(0x20, 0x00, &[]), "nobody"),
        (v2(0x21, 0x00, &[]), "nobody"),
        (v2(0x21, 0x12, &V4), "nobody"),
        (v2(0x21, 0x31, &[0; 216]), "nobody"),
        (v2(0x21, 0x11, &V4[..11]), "Malformed"),
        (v2(0x21, 0x21, &V4), "Malformed"),
        (v2(0x21, 0x99, &V4), "Malformed"),
        (v2(0x22, 0x11, &V4), "Malformed"),
        (v2(0x11, 0x11, &V4), "Malformed"),
        (v2(0x21, 0x11, &more(&V4, MAX_BINARY - 27)), "TooLong"),
    ] {
        assert_eq!(told(&header), expected, "{header:?}");
    }
}

#[tokio::test]
async fn nothing_after_the_header_is_read() {
    let line = b"PROXY TCP4 192.0.2.1 10.0.0.1 4711 443\r\n";
    for header in [
        line.to_vec(),
        v2(0x21, 0x21, &v6()),
        b"PROXY UNKNOWN\r\n".to_vec(),
    ] {
        let bytes = [&header[..], b"GET / HTTP/1.1\r\n"].concat();
        let mut rest = &bytes[..];
        read(&mut rest).await.unwrap();
        assert_eq!(rest, b"GET / HTTP/1.1\r\n");
    }
}

#[tokio::test(start_paused = true)]
async fn a_header_that_does_not_come_is_not_waited_for() {
    let (_client, mut server) = tokio::io::duplex(64);
    let fault = read(&mut server).await.unwrap_err();
    assert!(matches!(fault, Fault::Timeout), "{fault:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_make_it_panic_or_stand_still(
        start in prop::sample::select(vec![&b""[..], b"PROXY ", b"PROXY TCP4 ", SIGNATURE]),
        rest in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        // Panics would fail the test, and so does a step that asks for nothing.
        let _ = parse(&[start, &rest].concat());
    }

    #[test]
    fn whatever_is_written_is_read_and_no_cut_of_it_is_taken_for_whole(
        source in any::<(IpAddr, u16)>(),
        is_line in any::<bool>(),
    ) {
        let source = SocketAddr::from(source);
        let (ip, port) = (source.ip(), source.port());
        let header = match (is_line, ip) {
            (true, IpAddr::V4(_)) => format!("PROXY TCP4 {ip} {ip} {port} 1\r\n").into_bytes(),
            (true, IpAddr::V6(_)) => format!("PROXY TCP6 {ip} {ip} {port} 1\r\n").into_bytes(),
            (false, IpAddr::V4(ip)) => {
                let octets = ip.octets();
                v2(0x21, 0x11, &[&octets, &octets, &port.to_be_bytes()[..], &[0, 1]].concat())
            }
            (false, IpAddr::V6(ip)) => {
                let octets = ip.octets();
                v2(0x21, 0x21, &[&octets, &octets, &port.to_be_bytes()[..], &[0, 1]].concat())
            }
        };
        prop_assert_eq!(told(&header), source.to_string());
        for cut in 0..header.len() {
            prop_assert!(matches!(parse(&header[..cut]), Err(Fault::Broken(_))), "cut at {}", cut);
        }
    }
}
