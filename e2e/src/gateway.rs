//! A client of the gateway that hides nothing: any host, any bytes, headers and streams as they
//! come.

use std::net::SocketAddr;

use anyhow::{Context, Result, bail};
use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderMap};
use hyper::{Method, Request, Response};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};

/// The client listener of a data plane.
#[derive(Debug, Clone)]
pub struct Gateway {
    address: SocketAddr,
}

/// A request in the making.
#[derive(Debug, Clone)]
pub struct Call<'a> {
    pub host: &'a str,
    pub method: Method,
    pub path: &'a str,
    pub key: Option<&'a str>,
    pub headers: Vec<(&'static str, String)>,
    pub body: Bytes,
}

impl<'a> Call<'a> {
    /// A chat completion with a body of any bytes.
    pub fn chat(host: &'a str, body: impl Into<Bytes>) -> Self {
        Self {
            host,
            method: Method::POST,
            path: "/v1/chat/completions",
            key: None,
            headers: Vec::new(),
            body: body.into(),
        }
    }

    /// A chat completion with one message of the user.
    pub fn say(host: &'a str, model: &str, text: &str) -> Self {
        Self::chat(host, chat_body(model, text, false).to_string())
    }

    /// The same, streamed.
    pub fn stream(host: &'a str, model: &str, text: &str) -> Self {
        Self::chat(host, chat_body(model, text, true).to_string())
    }

    /// Any path, without a body.
    pub fn get(host: &'a str, path: &'a str) -> Self {
        Self {
            method: Method::GET,
            path,
            ..Self::chat(host, "")
        }
    }

    /// Sends a key as `Authorization: Bearer`.
    #[must_use]
    pub fn key(mut self, key: &'a str) -> Self {
        self.key = Some(key);
        self
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

/// The body of a chat completion with one message of the user.
pub fn chat_body(model: &str, text: &str, is_streaming: bool) -> Value {
    let mut body = json!({"model": model, "messages": [{"role": "user", "content": text}]});
    if is_streaming {
        body["stream"] = true.into();
    }
    body
}

/// A whole answer.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    /// Reads a response to its end.
    pub(crate) async fn read(response: Response<Incoming>) -> Result<Self> {
        let (head, body) = response.into_parts();
        let body = body.collect().await.context("reading the answer")?;
        Ok(Self {
            status: head.status.as_u16(),
            headers: head.headers,
            body: body.to_bytes(),
        })
    }

    pub fn text(&self) -> Result<String> {
        String::from_utf8(self.body.to_vec()).context("an answer that is not text")
    }

    pub fn json(&self) -> Result<Value> {
        serde_json::from_slice(&self.body)
            .with_context(|| format!("not JSON ({}): {:?}", self.status, self.body))
    }

    /// A header's value, if it came.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The answer's text, when it is a chat completion.
    pub fn content(&self) -> Result<String> {
        let json = self.json()?;
        let content = json["choices"][0]["message"]["content"].as_str();
        Ok(content
            .with_context(|| format!("no content: {json}"))?
            .to_owned())
    }

    /// The code of an error in OpenAI's shape, whose other members are there as well.
    pub fn error_code(&self) -> Result<String> {
        let json = self.json()?;
        let error = &json["error"];
        for name in ["message", "type"] {
            if error[name].as_str().is_none_or(str::is_empty) {
                bail!("an error without {name} ({}): {json}", self.status);
            }
        }
        if !error.as_object().is_some_and(|e| e.contains_key("param")) {
            bail!("an error without param ({}): {json}", self.status);
        }
        if json["request_id"].as_str().is_none_or(str::is_empty) {
            bail!("an error without request_id ({}): {json}", self.status);
        }
        let code = error["code"].as_str();
        Ok(code.with_context(|| format!("no code: {json}"))?.to_owned())
    }

    /// Fails unless the answer is an error of that status and code.
    pub fn expect_error(&self, status: u16, code: &str) -> Result<()> {
        let found = (self.status, self.error_code()?);
        if found != (status, code.to_owned()) {
            bail!("{found:?} instead of {status} {code}: {}", self.text()?);
        }
        Ok(())
    }

    /// Fails unless the status is 200.
    pub fn expect_ok(self) -> Result<Self> {
        if self.status != 200 {
            bail!("{}: {}", self.status, String::from_utf8_lossy(&self.body));
        }
        Ok(self)
    }
}

impl Gateway {
    pub fn at(address: SocketAddr) -> Self {
        Self { address }
    }

    /// What SDKs are given.
    pub fn base_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sends a request and reads the whole answer. A connection of its own each time.
    pub async fn send(&self, call: Call<'_>) -> Result<Answer> {
        Answer::read(self.open(call).await?).await
    }

    /// Sends a request and returns as soon as the answer begins; the rest is read as events.
    pub async fn send_streaming(&self, call: Call<'_>) -> Result<Stream> {
        let response = self.open(call).await?;
        if response.status() != 200 {
            let status = response.status();
            let body = response.into_body().collect().await?.to_bytes();
            bail!("{status}: {}", String::from_utf8_lossy(&body));
        }
        Ok(Stream::of(response.into_body()))
    }

    async fn open(&self, call: Call<'_>) -> Result<Response<Incoming>> {
        let uri = format!("http://{}{}", self.address, call.path);
        let mut request = Request::builder()
            .method(call.method)
            .uri(uri)
            .header(HOST, call.host)
            .header(CONTENT_TYPE, "application/json");
        if let Some(key) = call.key {
            request = request.header(AUTHORIZATION, format!("Bearer {key}"));
        }
        for (name, value) in call.headers {
            request = request.header(name, value);
        }
        let request = request.body(Full::new(call.body))?;
        client()
            .request(request)
            .await
            .context("sending the request")
    }
}

/// A streamed answer. Dropping it hangs up.
#[derive(Debug)]
pub struct Stream {
    body: Incoming,
    rest: BytesMut,
}

impl Stream {
    /// An answer that has begun.
    pub(crate) fn of(body: Incoming) -> Self {
        Self {
            body,
            rest: BytesMut::new(),
        }
    }

    /// The data of the next event; `None` at the clean end of the body.
    pub async fn next(&mut self) -> Result<Option<String>> {
        loop {
            if let Some(end) = self.rest.windows(2).position(|two| two == b"\n\n") {
                let event = self.rest.split_to(end + 2);
                if let Some(data) = data_of(&event) {
                    return Ok(Some(data));
                }
                continue;
            }
            match self.body.frame().await {
                None => return Ok(None),
                Some(frame) => {
                    let frame = frame.context("the answer broke off")?;
                    if let Ok(data) = frame.into_data() {
                        self.rest.extend_from_slice(&data);
                    }
                }
            }
        }
    }

    /// The data of all events up to the end, and whether that end was clean.
    pub async fn rest(mut self) -> (Vec<String>, Result<()>) {
        let mut events = Vec::new();
        loop {
            match self.next().await {
                Ok(Some(event)) => events.push(event),
                Ok(None) => return (events, Ok(())),
                Err(error) => return (events, Err(error)),
            }
        }
    }
}

/// The text that the deltas of a chat completion's events make.
pub fn text_of(events: &[String]) -> String {
    events
        .iter()
        .filter_map(|event| serde_json::from_str::<Value>(event).ok())
        .filter_map(|event| {
            let content = event["choices"][0]["delta"]["content"].as_str();
            content.map(str::to_owned)
        })
        .collect()
}

/// A plain GET of an admin or other listener.
pub async fn get(address: SocketAddr, path: &str) -> Result<Answer> {
    let host = address.to_string();
    Gateway::at(address).send(Call::get(&host, path)).await
}

/// One client a request, so that no connection outlives the test's runtime and none is reused
/// after the server was started again.
fn client() -> Client<HttpConnector, Full<Bytes>> {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    Client::builder(TokioExecutor::new()).build(connector)
}

fn data_of(event: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(event);
    let lines: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("data:"))
        .map(|data| data.strip_prefix(' ').unwrap_or(data))
        .collect();
    (!lines.is_empty()).then(|| lines.join("\n"))
}
