//! An HTTP/1.1 client: one connection that is kept alive, and answers that explain themselves.

use std::net::SocketAddr;

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use hyper::{HeaderMap, Request};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

/// No answer came: the connection was refused or lost.
#[derive(Debug)]
pub(crate) struct Lost;

/// An answer, whatever it says.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    /// Null when the body is not JSON.
    pub(crate) json: Value,
    pub(crate) text: String,
}

impl Answer {
    /// The answer's JSON, which must have come with this status.
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text);
        self.json
    }

    /// The problem's JSON, which must have this status and code.
    #[track_caller]
    pub(crate) fn refused(self, status: u16, code: &str) -> Value {
        assert_eq!((self.status, self.code()), (status, code), "{}", self.text);
        assert_eq!(self.header("content-type"), "application/problem+json");
        assert_eq!(self.json["status"], status, "{}", self.text);
        assert_eq!(self.header("cache-control"), "no-store");
        self.json
    }

    pub(crate) fn code(&self) -> &str {
        self.json["code"].as_str().unwrap_or_default()
    }

    /// Empty when there is none.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

/// What is asked. By default without a token, and in the language of the box office.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ask<'a> {
    pub(crate) token: Option<&'a str>,
    pub(crate) headers: Vec<(&'a str, &'a str)>,
    pub(crate) body: Option<Bytes>,
}

/// One connection; a lost one is replaced at the next request.
#[derive(Debug)]
pub(crate) struct Connection {
    addr: SocketAddr,
    sender: Option<SendRequest<Full<Bytes>>>,
}

impl Connection {
    pub(crate) fn to(addr: SocketAddr) -> Self {
        Self { addr, sender: None }
    }

    /// Connects to another place from now on.
    pub(crate) fn move_to(&mut self, addr: SocketAddr) {
        *self = Self::to(addr);
    }

    /// Does not wait for an answer any longer.
    pub(crate) fn hang_up(&mut self) {
        self.sender = None;
    }

    pub(crate) async fn get(&mut self, path: &str, token: Option<&str>) -> Answer {
        self.ask("GET", path, Ask { token, ..Ask::default() }).await
    }

    pub(crate) async fn delete(&mut self, path: &str, token: Option<&str>) -> Answer {
        self.ask("DELETE", path, Ask { token, ..Ask::default() }).await
    }

    pub(crate) async fn post(&mut self, path: &str, token: Option<&str>, body: &Value) -> Answer {
        self.ask("POST", path, Ask { token, ..Ask::json(body) }).await
    }

    pub(crate) async fn ask(&mut self, method: &str, path: &str, ask: Ask<'_>) -> Answer {
        let answer = self.try_ask(method, path, ask).await;
        answer.unwrap_or_else(|Lost| panic!("no answer to {method} {path}"))
    }

    pub(crate) async fn try_ask(
        &mut self,
        method: &str,
        path: &str,
        ask: Ask<'_>,
    ) -> Result<Answer, Lost> {
        let answer = self.exchange(method, path, ask).await;
        if answer.is_err() {
            self.sender = None;
        }
        answer
    }

    async fn exchange(&mut self, method: &str, path: &str, ask: Ask<'_>) -> Result<Answer, Lost> {
        let mut request = Request::builder().method(method).uri(path);
        request = request.header(HOST, self.addr.to_string());
        if let Some(token) = ask.token {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        for (name, value) in ask.headers {
            request = request.header(name, value);
        }
        let request = request.body(Full::new(ask.body.unwrap_or_default())).expect("a request");
        let sender = self.sender().await?;
        let answer = sender.send_request(request).await.map_err(|_| Lost)?;
        let (parts, body) = answer.into_parts();
        let body = body.collect().await.map_err(|_| Lost)?.to_bytes();
        let text = String::from_utf8_lossy(&body).into_owned();
        let json = serde_json::from_str(&text).unwrap_or_default();
        Ok(Answer { status: parts.status.as_u16(), headers: parts.headers, json, text })
    }

    async fn sender(&mut self) -> Result<&mut SendRequest<Full<Bytes>>, Lost> {
        // A server may close a connection that was idle; such a one is not worth a request.
        let usable = match &mut self.sender {
            Some(sender) => sender.ready().await.is_ok(),
            None => false,
        };
        if !usable {
            let stream = TcpStream::connect(self.addr).await.map_err(|_| Lost)?;
            stream.set_nodelay(true).map_err(|_| Lost)?;
            let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(|_| Lost)?;
            // Whatever ends it, the sender notices.
            tokio::spawn(connection);
            self.sender = Some(sender);
        }
        self.sender.as_mut().ok_or(Lost)
    }
}

impl Ask<'_> {
    /// A body in JSON.
    pub(crate) fn json(body: &Value) -> Self {
        Self {
            headers: vec![(CONTENT_TYPE.as_str(), "application/json")],
            body: Some(body.to_string().into()),
            ..Self::default()
        }
    }
}
