//! `maepyo ready`: whether the box office that runs can serve, for what looks after processes and may have
//! no other client at hand, as in a container.

use std::process::ExitCode;
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use http::Request;
use http::header::HOST;
use http_body_util::Full;
use stampede::target::Target;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::config::{Stop, say_out};
use crate::one_request;

/// How long it may take to say it: whoever cannot is not ready.
const ANSWER_MAX: Duration = Duration::from_secs(3);
/// Bytes of an answer, at most: a sentence.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// Which box office is asked.
#[derive(Debug, Args)]
pub(crate) struct ReadyOptions {
    /// The operators' listener of the box office.
    #[arg(long, env = "MAEPYO_OPS", value_name = "URL", default_value = "http://127.0.0.1:8081")]
    ops: String,
}

/// Asks, and says what it says. Not ready is a failure.
pub(crate) fn run(options: &ReadyOptions) -> Result<ExitCode, Stop> {
    let target = Target::parse(&options.ops).map_err(|why| Stop::wrong(format!("--ops: {why}")))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Stop::failed(format!("no runtime: {error}.")))?;
    let authority = target.authority();
    let lost = |why: String| {
        Stop::failed(format!("the box office at http://{authority} cannot be asked: {why}."))
    };
    let asked = async { timeout(ANSWER_MAX, ask(&target)).await };
    let answer = runtime.block_on(asked).map_err(|_late| lost("no answer in time".to_owned()))?;
    let (is_ready, said) = answer.map_err(lost)?;
    say_out(&said);
    Ok(if is_ready { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn ask(target: &Target) -> Result<(bool, String), String> {
    let place = (target.host.as_str(), target.port);
    let stream = TcpStream::connect(place).await.map_err(|error| error.to_string())?;
    let request = Request::get("/readyz").header(HOST, target.authority());
    let request = request.body(Full::new(Bytes::new())).map_err(|error| error.to_string())?;
    let (status, body) = one_request::send(stream, request, ANSWER_BYTES_MAX).await?;
    Ok((status.is_success(), String::from_utf8_lossy(&body).into_owned()))
}
