//! Floods of frames over HTTP/2 that ask for nothing: the connection ends, others go on.

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::request_gateway::{TestGateway, soon};
use super::request_world::{World, echo};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
const PING: &[u8] = b"\0\0\x08\x06\0\0\0\0\0abcdefgh";
const SETTINGS: &[u8] = b"\0\0\0\x04\0\0\0\0\0";
const GOAWAY: u8 = 7;

/// The types of the frames that come back until the connection ends.
async fn kinds(stream: &mut (impl AsyncReadExt + Unpin)) -> Vec<u8> {
    let mut kinds = Vec::new();
    let mut head = [0; 9];
    while stream.read_exact(&mut head).await.is_ok() {
        kinds.push(head[3]);
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut rest = vec![0; length as usize];
        if stream.read_exact(&mut rest).await.is_err() {
            break;
        }
    }
    kinds
}

#[tokio::test]
async fn who_floods_a_connection_is_told_goodbye_and_others_go_on() {
    let gateway = TestGateway::start(World::with(echo())).await;
    for frame in [PING, SETTINGS] {
        let stream = TcpStream::connect(gateway.address).await.unwrap();
        let (mut reader, mut writer) = stream.into_split();
        writer.write_all(PREFACE).await.unwrap();
        let flood = Bytes::from(frame.repeat(100));
        let flooding = async {
            // Until the other side has had enough.
            while writer.write_all(&flood).await.is_ok() {}
        };
        let (kinds, ()) = soon(async { tokio::join!(kinds(&mut reader), flooding) }).await;
        assert!(kinds.contains(&GOAWAY), "{kinds:?}");
        assert_eq!(gateway.chat("hello").await.status, 200);
    }
    let refused = "turnpike_connections_refused_total{reason=\"flood\"}";
    assert_eq!(gateway.metric(refused), 2);
}
