//! A load of equal requests over kept connections.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use futures::future::try_join_all;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// The request that is sent again and again.
#[derive(Debug, Clone)]
pub(super) struct Load {
    pub(super) host: String,
    pub(super) key: String,
    pub(super) body: Bytes,
    /// At least that many bytes come back, or the answer is not what is to be measured.
    pub(super) least: usize,
}

impl Load {
    /// Sends `requests` over `connections`, each one after the other; the time of every answer,
    /// from the request to the last byte.
    pub(super) async fn run(
        &self,
        target: SocketAddr,
        connections: usize,
        requests: usize,
    ) -> Result<Vec<Duration>> {
        let each = requests.div_ceil(connections);
        let tasks = (0..connections).map(|_| {
            let load = self.clone();
            async move { tokio::spawn(async move { load.connection(target, each).await }).await? }
        });
        Ok(try_join_all(tasks).await?.concat())
    }

    async fn connection(&self, target: SocketAddr, requests: usize) -> Result<Vec<Duration>> {
        let socket = TcpStream::connect(target).await.context("connecting")?;
        socket.set_nodelay(true)?;
        let (mut sender, connection) = handshake(TokioIo::new(socket)).await?;
        let connection = tokio::spawn(connection);
        let mut times = Vec::with_capacity(requests);
        for _ in 0..requests {
            let started = Instant::now();
            self.request(&mut sender).await?;
            times.push(started.elapsed());
        }
        drop(sender);
        connection.await?.context("closing the connection")?;
        Ok(times)
    }

    async fn request(&self, sender: &mut SendRequest<Full<Bytes>>) -> Result<()> {
        sender.ready().await?;
        let request = Request::builder()
            .method(Method::POST)
            .uri("/v1/chat/completions")
            .header(HOST, &self.host)
            .header(AUTHORIZATION, format!("Bearer {}", self.key))
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(self.body.clone()))?;
        let mut response = sender.send_request(request).await?;
        let status = response.status();
        let mut received = 0;
        while let Some(frame) = response.body_mut().frame().await {
            received += frame?.data_ref().map_or(0, Bytes::len);
        }
        ensure!(status == 200, "{status} under load");
        ensure!(received >= self.least, "an answer of {received} bytes");
        Ok(())
    }
}
