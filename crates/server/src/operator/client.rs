//! One operator's calls at a box office: each on a connection of its own, bounded in size and time.

use std::ffi::OsString;
use std::fmt::Display;
use std::time::Duration;

use bytes::Bytes;
use engine::Warrant;
use http::header::{ACCEPT_LANGUAGE, AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{HeaderValue, Method, Request};
use http_body_util::Full;
use serde::de::DeserializeOwned;
use serde_json::Value;
use stampede::target::Target;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::options::WordOptions;
use crate::config::Stop;
use crate::one_request;
use crate::ops::AdminSecret;
use crate::ops::warrant::{OPERATOR_NAME, OPERATOR_REASON, is_sound};

/// How long a box office may take to be reached.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// How long it may take to answer: longer than a change may wait for its place on disk.
const ANSWER_MAX: Duration = Duration::from_secs(70);
/// Bytes of an answer, at most: a thousand sales take a twentieth of it.
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;

/// The operators' listener of a box office.
#[derive(Debug)]
pub(super) struct Client {
    target: Target,
    key: AdminSecret,
}

/// What an operator says of a change, as headers carry it.
#[derive(Debug)]
pub(super) struct Word {
    by: HeaderValue,
    because: Option<HeaderValue>,
}

impl Word {
    /// Who makes a change, and why.
    pub(super) fn of(options: &WordOptions) -> Result<Self, Stop> {
        let by = options.by.clone().or_else(login);
        let by = by.ok_or_else(|| {
            Stop::wrong("who makes the change? There is no login name: say --by NAME.")
        })?;
        let because = options.because.as_deref();
        Ok(Self {
            by: value("--by", &by, Warrant::BY_MAX)?,
            because: because
                .map(|text| value("--because", text, Warrant::BECAUSE_MAX))
                .transpose()?,
        })
    }
}

/// The login name: what the session says, or else the list of accounts.
fn login() -> Option<String> {
    let said = ["LOGNAME", "USER"].into_iter().filter_map(std::env::var_os);
    let mut said = said.filter_map(|name| OsString::into_string(name).ok());
    said.find(|name| !name.is_empty()).or_else(|| {
        let accounts = std::fs::read_to_string("/etc/passwd").ok()?;
        account(&accounts, rustix::process::getuid().as_raw())
    })
}

/// The name of an account, from lines like `kim:x:1000:…`.
fn account(accounts: &str, user: u32) -> Option<String> {
    let user = user.to_string();
    let mut lines = accounts.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let found = lines.find(|fields| fields.get(2) == Some(&user.as_str()))?;
    found.first().filter(|name| !name.is_empty()).map(ToString::to_string)
}

fn value(option: &str, text: &str, bytes_max: usize) -> Result<HeaderValue, Stop> {
    let wrong = || Stop::wrong(format!("{option} is one line of 1 to {bytes_max} bytes."));
    if !is_sound(text, bytes_max) {
        return Err(wrong());
    }
    HeaderValue::from_bytes(text.as_bytes()).map_err(|_| wrong())
}

impl Client {
    /// A client of the listener at `url`.
    pub(super) fn new(url: &str, key: AdminSecret) -> Result<Self, Stop> {
        if url.starts_with("https://") {
            return Err(Stop::wrong(
                "--ops is an http:// URL: the operators' listener has no TLS, and belongs on this \
                 machine or a private network.",
            ));
        }
        let target = Target::parse(url).map_err(|why| Stop::wrong(format!("--ops: {why}")))?;
        Ok(Self { target, key })
    }

    /// Asks, without changing anything.
    pub(super) async fn get(&self, path: &str) -> Result<Value, Stop> {
        self.ask(Method::GET, path, None, None).await
    }

    /// Asks for a change.
    pub(super) async fn change(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        word: &Word,
    ) -> Result<Value, Stop> {
        self.ask(method, path, body, Some(word)).await
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        word: Option<&Word>,
    ) -> Result<Value, Stop> {
        let mut bearer = HeaderValue::from_str(&format!("Bearer {}", self.key.expose()))
            .map_err(|_| Stop::wrong("the admin key cannot be sent."))?;
        bearer.set_sensitive(true);
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, self.target.authority())
            .header(AUTHORIZATION, bearer)
            .header(ACCEPT_LANGUAGE, "en");
        if let Some(Word { by, because }) = word {
            request = request.header(OPERATOR_NAME, by);
            if let Some(because) = because {
                request = request.header(OPERATOR_REASON, because);
            }
        }
        let body = match body {
            Some(body) => {
                request = request.header(CONTENT_TYPE, "application/json");
                Bytes::from(body.to_string())
            }
            None => Bytes::new(),
        };
        let request = request.body(Full::new(body)).map_err(|error| self.lost(&error))?;
        let answered = timeout(ANSWER_MAX, self.exchange(request)).await;
        let (status, body) = answered.map_err(|_| self.lost(&"no answer in time"))??;
        let answer: Option<Value> = serde_json::from_slice(&body).ok();
        match answer {
            Some(answer) if (200..300).contains(&status) => Ok(answer),
            Some(problem) if problem["detail"].is_string() => Err(refused(&problem)),
            Some(_) | None => Err(Stop::failed(format!(
                "http://{} answered with {status} and not as an operators' listener does: look at \
                 --ops.",
                self.target.authority()
            ))),
        }
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<(u16, Bytes), Stop> {
        let Target { host, port } = &self.target;
        let connected = timeout(CONNECT_MAX, TcpStream::connect((host.as_str(), *port))).await;
        let connected = connected.map_err(|_| self.lost(&"nobody answers"))?;
        let stream = connected.map_err(|error| self.lost(&error))?;
        let answer = one_request::send(stream, request, ANSWER_BYTES_MAX).await;
        let (status, body) = answer.map_err(|why| self.lost(&why))?;
        Ok((status.as_u16(), body))
    }

    fn lost(&self, why: &dyn Display) -> Stop {
        let authority = self.target.authority();
        Stop::failed(format!("the box office at http://{authority} cannot be asked: {why}."))
    }
}

/// What an answer says.
pub(super) fn read<T: DeserializeOwned>(answer: Value) -> Result<T, Stop> {
    serde_json::from_value(answer)
        .map_err(|error| Stop::failed(format!("the answer is not understood: {error}.")))
}

/// What the box office said no to, in its own sentence.
fn refused(problem: &Value) -> Stop {
    let text = |name: &str| problem[name].as_str().unwrap_or_default();
    let detail = text("detail").trim_end_matches('.');
    Stop::failed(format!("{detail} ({}).", text("code")))
}

#[cfg(test)]
mod tests {
    use super::account;

    #[test]
    fn an_account_is_found_by_its_number() {
        let accounts =
            "root:x:0:0:root:/nowhere:/bin/sh\n\n:x:7:7\nkim:x:1000:1000::/nowhere:/bin/sh\n";
        assert_eq!(account(accounts, 0).as_deref(), Some("root"));
        assert_eq!(account(accounts, 1000).as_deref(), Some("kim"));
        for nobody in [1, 7, 100] {
            assert_eq!(account(accounts, nobody), None, "{nobody}");
        }
    }
}
