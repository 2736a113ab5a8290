//! `maepyo stampede`: the rehearsal of an on-sale, and single calls under load.
//!
//! The crowd itself is the crate `stampede`, which knows nothing of this program; here are its
//! options, what is printed while it goes on, and the files that are written at the end. A crowd
//! goes to this machine only, unless its owner says that the other one is theirs, too.

mod options;

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::Path;
use std::process::ExitCode;

use stampede::load::runtime;
use stampede::rehearsal::{Rehearsal, Sample, rehearse};
use stampede::single::{Single, single};
use stampede::target::{Target, is_this_machine};
use tokio::net::TcpStream;
use tokio::signal::ctrl_c;
use tokio::task::spawn_local;

use crate::config::Stop;

pub(crate) use options::StampedeOptions;

/// Rehearses, or makes single calls. The exit code is 1 when a finding is that a promise was broken.
pub(crate) fn run(options: &StampedeOptions) -> Result<ExitCode, Stop> {
    let target = Target::parse(&options.url).map_err(Stop::wrong)?;
    let addresses = resolve(&target, options.i_own_this_host)?;
    let runtime = runtime().map_err(Stop::failed)?;
    runtime.block_on(async {
        let addr = reach(&target, &addresses).await?;
        match options.single(addr, &target) {
            Some(call) => calls(&call).await,
            None => crowd(options, &options.rehearsal(addr, &target)?).await,
        }
    })
}

/// The addresses of a host that a crowd may go to.
fn resolve(target: &Target, is_owned: bool) -> Result<Vec<SocketAddr>, Stop> {
    let Target { host, port } = target;
    let addresses = (host.as_str(), *port).to_socket_addrs();
    let addresses: Vec<SocketAddr> =
        addresses.map_err(|error| Stop::wrong(format!("{host} is not known: {error}.")))?.collect();
    if !is_owned && !is_this_machine(&addresses) {
        return Err(Stop::wrong(format!(
            "{host} is not this machine. A stampede on somebody else's server is an attack; if it \
             is yours, say --i-own-this-host."
        )));
    }
    Ok(addresses)
}

/// The first address at which somebody answers.
async fn reach(target: &Target, addresses: &[SocketAddr]) -> Result<SocketAddr, Stop> {
    let mut why = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for addr in addresses {
        match TcpStream::connect(addr).await {
            Ok(_) => return Ok(*addr),
            Err(error) => why = error,
        }
    }
    Err(Stop::wrong(format!("nobody answers at {}: {why}.", target.authority())))
}

async fn crowd(options: &StampedeOptions, rehearsal: &Rehearsal) -> Result<ExitCode, Stop> {
    // Written to at the end, after minutes perhaps: whether they can be is found out before.
    for file in [&options.picture, &options.json].into_iter().flatten() {
        let opened = OpenOptions::new().append(true).create(true).open(file);
        opened.map_err(|error| unwritable(file, &error))?;
    }
    // The first Ctrl-C sends the crowd home, and what was seen is still told; the second ends it.
    let stop = rehearsal.stop.clone();
    spawn_local(async move {
        if ctrl_c().await.is_ok() {
            stop.stop();
        }
        if ctrl_c().await.is_ok() {
            std::process::exit(130);
        }
    });
    let report = rehearse(rehearsal, &mut tell).await.map_err(Stop::wrong)?;
    print(&report.to_text());
    if let Some(file) = &options.picture {
        write(file, &report.to_svg())?;
    }
    if let Some(file) = &options.json {
        write(file, &report.to_json())?;
    }
    Ok(if report.is_sound() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn calls(call: &Single) -> Result<ExitCode, Stop> {
    let summary = single(call).await.map_err(Stop::wrong)?;
    print(&summary.to_text());
    Ok(ExitCode::SUCCESS)
}

/// One line for each second, on standard error: what is printed at the end stands alone.
fn tell(sample: &Sample) {
    let _ = writeln!(io::stderr().lock(), "{}", sample.to_line());
}

fn print(text: &str) {
    // With nobody to read it there is nobody to tell.
    let _ = io::stdout().lock().write_all(text.as_bytes());
}

fn write(file: &Path, text: &str) -> Result<(), Stop> {
    fs::write(file, text).map_err(|error| unwritable(file, &error))
}

fn unwritable(file: &Path, error: &io::Error) -> Stop {
    Stop::wrong(format!("{} cannot be written: {error}.", file.display()))
}
