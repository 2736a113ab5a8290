//! The start, the two listeners, and the graceful end.
//!
//! The start does first what can be refused: options, keys, the store, the ports. Buyers are let in
//! when every sale has been recovered. At the first signal nobody new is let in, whoever was is
//! answered, and then the engine finishes what it accepted; a second signal ends the process at
//! once, which loses nothing that was answered. A node that dies needs no other end than that.

mod aside;
mod client_address;
mod gate;
mod listener;
mod progress;
mod sales_dir;
mod speech;
mod unread;

use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use domain::time::Millis;
use engine::clock::wall_ms;
use engine::{Engine, LedgerThread, StartError};
use store::Journal;
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::app::App;
use crate::calls::GatewayCalls;
use crate::config::{self, ServeOptions, Stop};
use crate::gateway::PaymentGateway;
use crate::gateway::sandbox::SandboxGateway;
use crate::http::{HttpMeters, JoinLimit, Streams};
use crate::ids::Ids;
use crate::ops::{AdminKey, Ops, Watched};
use crate::otlp::{SpanCounts, Tracer};
use crate::token::Keyring;
use crate::{demo, http, ledger, log, ops, otlp};
use listener::{Bounds, Listener, affordable};
use sales_dir::SalesDir;

pub(crate) use client_address::Network;
pub(crate) use listener::Occupancy;

/// Files beside the journal: what signs tokens, whom operators are known by, and what the sandbox
/// believes was paid.
pub(crate) const TOKEN_KEY_FILE: &str = "token.key";
pub(crate) const ADMIN_KEY_FILE: &str = "admin.key";
pub(crate) const SANDBOX_BOOK_FILE: &str = "sandbox-book.jsonl";

/// How long the runtime may take to drop what is left at the end.
const DROP_MAX: Duration = Duration::from_secs(1);

/// How long the last traces may take to be sent.
const TRACES_MAX: Duration = Duration::from_secs(3);

/// How often it is looked at what other nodes have written.
const FOLLOW_EVERY: Millis = 50;

/// Connections of operators and their tools, at most.
const OPERATORS_MAX: u32 = 256;

/// Runs the box office until a signal ends it.
pub(crate) fn serve(options: &ServeOptions) -> Result<(), Stop> {
    log::start(options.log_format, &options.log);
    refuse_play_money(options.listen, options.allow_sandbox_payments)?;
    let traces = Traces::new(options)?;
    let sales = options.sales.as_deref().map(SalesDir::open).transpose()?;

    let mut store_options = options.data.store_options()?;
    store_options.accept_shorter_history = options.accept_shorter_history;
    let journal = store::open(&options.data.location()?, store_options).map_err(Stop::failed)?;
    // An embedded store has made the directory, and holds it for this process alone.
    options.data.make()?;
    let keyring = keyring(&options.data.file(TOKEN_KEY_FILE))?;
    let admin_key = admin_key(&options.data.file(ADMIN_KEY_FILE))?;
    let book = options.data.file(SANDBOX_BOOK_FILE);
    let gateway: Arc<dyn PaymentGateway> =
        Arc::new(SandboxGateway::open(&book, wall_ms).map_err(Stop::failed)?);

    let runtime = Runtime::new().map_err(|error| Stop::failed(format!("no threads: {error}.")))?;
    let opened = runtime.block_on(async {
        let public =
            Listener::bind(options.listen).map_err(|error| unusable("--listen", &error))?;
        let operators =
            Listener::bind(options.ops_listen).map_err(|error| unusable("--ops-listen", &error))?;
        // From here on a signal is noticed, and acted on when the start is over.
        let signals = Signals::watch()?;
        let hangups = sales.is_some().then(|| watch_signal(SignalKind::hangup())).transpose()?;
        let watch = traces.tracer.clone();
        let engine = start_engine(&journal, gateway, watch, options).map_err(Stop::failed)?;
        if options.demo {
            demo::schedule(&engine).await?;
        }
        if let Some(sales) = &sales {
            sales.apply(&engine).await;
        }
        let ledger = ledger::keep(options, &engine, &journal)?;
        Ok(Opened { public, operators, signals, sales: sales.zip(hangups), engine, ledger })
    })?;

    let (engine, ledger) = (Arc::clone(&opened.engine), opened.ledger.clone());
    let told = runtime.block_on(opened.run(journal, keyring, admin_key, traces, options));
    engine.stop();
    if let Some(ledger) = ledger {
        ledger.stop();
    }
    drop(engine);
    if let Some(told) = told {
        // Nobody traces any more, so it ends with what was traced.
        let _late = runtime.block_on(async { tokio::time::timeout(TRACES_MAX, told).await });
    }
    runtime.shutdown_timeout(DROP_MAX);
    tracing::info!("stopped");
    Ok(())
}

/// The sandbox takes everybody's word for money, so only this machine may use it unasked.
fn refuse_play_money(listen: SocketAddr, allowed: bool) -> Result<(), Stop> {
    if allowed || listen.ip().is_loopback() {
        return Ok(());
    }
    Err(Stop::wrong(format!(
        "no payment provider is configured, and the sandbox, which moves no money, serves only this \
         machine: listen on 127.0.0.1 instead of {}, or say --allow-sandbox-payments.",
        listen.ip()
    )))
}

fn keyring(file: &Path) -> Result<Keyring, Stop> {
    match config::token_keys()? {
        Some(keys) => Keyring::from_env_value(&keys).map_err(Stop::wrong),
        None => Keyring::load_or_create(file).map_err(Stop::failed),
    }
}

fn admin_key(file: &Path) -> Result<AdminKey, Stop> {
    match config::admin_key()? {
        Some(key) => AdminKey::from_env_value(&key).map_err(Stop::wrong),
        None => AdminKey::load_or_create(file).map_err(Stop::failed),
    }
}

fn unusable(option: &str, error: &std::io::Error) -> Stop {
    Stop::failed(format!("the address of {option} cannot be used: {error}."))
}

/// How requests and commits are traced.
struct Traces {
    tracer: Option<Arc<Tracer>>,
    /// What sends them, until it is begun.
    sending: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    counts: Arc<SpanCounts>,
}

impl Traces {
    fn new(options: &ServeOptions) -> Result<Self, Stop> {
        let counts = Arc::<SpanCounts>::default();
        let Some(endpoint) = config::otlp_endpoint(options)? else {
            return Ok(Self { tracer: None, sending: None, counts });
        };
        let (tracer, spans) = Tracer::new(options.otlp_sample, Arc::clone(&counts));
        let sending = otlp::send(endpoint, config::service_name()?, spans, Arc::clone(&counts));
        Ok(Self { tracer: Some(Arc::new(tracer)), sending: Some(Box::pin(sending)), counts })
    }
}

fn start_engine(
    journal: &Arc<dyn Journal>,
    gateway: Arc<dyn PaymentGateway>,
    watch: Option<Arc<Tracer>>,
    options: &ServeOptions,
) -> Result<Arc<Engine>, StartError> {
    let (calls, connect) = GatewayCalls::new(gateway);
    let config = engine::Config {
        node: Ids.node(),
        append_wait_max: Millis::from(options.append_wait_max) * 1000,
        payments_in_flight: options.payments_in_flight as usize,
        follow_every: options.data.is_shared().then_some(FOLLOW_EVERY),
        watch: watch.map(|watch| watch as Arc<dyn engine::Watch>),
        ..engine::Config::default()
    };
    let engine = Engine::start(Arc::clone(journal), Box::new(calls), config)?;
    connect.to(&engine);
    Ok(engine)
}

/// A box office with everything in its place, not yet open.
struct Opened {
    public: Listener,
    operators: Listener,
    signals: Signals,
    /// Sales that are kept as files, and the signal to read them again.
    sales: Option<(SalesDir, Signal)>,
    engine: Arc<Engine>,
    ledger: Option<Arc<LedgerThread>>,
}

impl Opened {
    /// Serves until the first signal, and lets everybody finish. What is returned sends what is still
    /// to be sent of the traces, if there are any.
    async fn run(
        self,
        journal: Arc<dyn Journal>,
        keyring: Keyring,
        admin_key: AdminKey,
        traces: Traces,
        options: &ServeOptions,
    ) -> Option<JoinHandle<()>> {
        let Self { public, operators, mut signals, sales, engine, ledger } = self;
        let idle = Duration::from_secs(options.idle_timeout);
        let meters = HttpMeters::leaked();
        let requests = options.requests_in_flight;
        let connections = affordable(options.connections);
        // Whoever has no stream must be able to connect, to join and to ask.
        let streams = Streams::new(options.streams.min(connections - connections / 6), idle);
        let speaking = tokio::spawn(Arc::clone(&streams).keep(Arc::downgrade(&engine)));
        let for_buyers = Bounds {
            occupancy: Occupancy::new(connections, requests),
            idle,
            proxies: options.trusted_proxy.clone(),
            meters: Some(meters),
        };
        let for_operators = Bounds {
            occupancy: Occupancy::new(OPERATORS_MAX, requests),
            idle,
            proxies: Vec::new(),
            meters: None,
        };
        let (public_addr, operators_addr) = (public.addr(), operators.addr());
        let app = App {
            epoch: engine.epoch(),
            engine: Arc::clone(&engine),
            keyring,
            token_ttl_s: options.token_ttl,
            append_wait_s: options.append_wait_max,
            payments_in_flight: options.payments_in_flight,
            body_wait: idle,
            join_limit: JoinLimit {
                per_second: options.joins_per_address,
                burst: options.joins_burst,
            },
            streams: Arc::clone(&streams),
            tracer: traces.tracer,
            meters,
        };
        let sending = traces.sending.map(tokio::spawn);
        let buyers_calls = http::router(Arc::new(app));
        let listeners = [
            ("buyers", Arc::clone(&for_buyers.occupancy)),
            ("operators", Arc::clone(&for_operators.occupancy)),
        ];
        let watched = Watched {
            journal,
            meters,
            listeners,
            streams: Arc::clone(&streams),
            spans: traces.counts,
            ledger,
        };
        let operators_calls = ops::router(Ops::new(Arc::clone(&engine), watched, admin_key));

        let (stop, stopping) = watch::channel(false);
        let public = tokio::spawn(public.serve(buyers_calls, for_buyers, stopping.clone()));
        let operators = tokio::spawn(operators.serve(operators_calls, for_operators, stopping));
        tracing::info!(listen = %public_addr, ops_listen = %operators_addr, "open");
        demo::announce(public_addr, operators_addr, options.demo.then_some(&*engine));

        let reading = sales.map(|(sales, mut hangups)| {
            let engine = Arc::clone(&engine);
            tokio::spawn(async move {
                while hangups.recv().await.is_some() {
                    tracing::info!(signal = "SIGHUP", "the sales' files are read again");
                    sales.apply(&engine).await;
                }
            })
        });
        let first = signals.next().await;
        if let Some(reading) = reading {
            reading.abort();
        }
        tracing::info!(signal = first, "stopping; a second signal ends it at once");
        tokio::spawn(async move {
            let second = signals.next().await;
            tracing::warn!(signal = second, "ended at once");
            std::process::exit(1);
        });
        // Before the listeners, which wait for everybody to leave.
        streams.end();
        stop.send_replace(true);
        // A listener that panicked has ended the process.
        let _ = tokio::join!(public, operators);
        speaking.abort();
        sending
    }
}

fn watch_signal(kind: SignalKind) -> Result<Signal, Stop> {
    signal(kind).map_err(|error| Stop::failed(format!("signals are not heard: {error}.")))
}

/// The signals that end the process.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn watch() -> Result<Self, Stop> {
        let terminate = watch_signal(SignalKind::terminate())?;
        Ok(Self { terminate, interrupt: watch_signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn play_money_stays_on_this_machine_unless_allowed() {
        let table = [
            ("127.0.0.1:0", false, true),
            ("127.3.2.1:0", false, true),
            ("[::1]:0", false, true),
            ("0.0.0.0:0", false, false),
            ("[::]:0", false, false),
            ("192.0.2.1:0", false, false),
            ("0.0.0.0:0", true, true),
        ];
        for (listen, allowed, accepted) in table {
            let verdict = refuse_play_money(listen.parse().expect("an address"), allowed);
            assert_eq!(verdict.is_ok(), accepted, "{listen} {allowed}");
        }
    }
}
