//! Both loops against a server that answers as it is told.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpListener;

use super::*;
use crate::wire::Request;

/// A server that answers every request with 200, in its own time: each piece of what it reads that
/// ends a head is a request.
async fn server(takes: Duration) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let addr = listener.local_addr().expect("its address");
    tokio::task::spawn_local(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::task::spawn_local(async move {
                let mut asked = [0; 1024];
                loop {
                    stream.readable().await.expect("a stream");
                    match stream.try_read(&mut asked) {
                        Ok(0) => return,
                        Ok(_) => {}
                        Err(_) => continue,
                    }
                    if !takes.is_zero() {
                        // paces: it is the server's part to take its time.
                        tokio::time::sleep(takes).await;
                    }
                    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
                    assert_eq!(stream.try_write(answer).expect("room"), answer.len());
                }
            });
        }
    });
    addr
}

/// So many requests, and what became of them.
#[derive(Debug, Default)]
struct Calls {
    left: usize,
    answered: usize,
    lost: usize,
}

impl Source for Calls {
    fn next(&mut self, _connection: usize, request: &mut Vec<u8>) -> bool {
        if self.left == 0 {
            return false;
        }
        self.left -= 1;
        Request::get("/").render(request);
        true
    }

    fn answered(&mut self, _connection: usize, answer: &Answer<'_>) {
        assert_eq!(answer.status, 200);
        self.answered += 1;
    }

    fn lost(&mut self, _connection: usize, _lost: Lost) {
        self.lost += 1;
    }
}

fn calls(count: usize) -> Shared<Calls> {
    Shared::new(Calls { left: count, ..Calls::default() })
}

fn run(test: impl Future<Output = ()>) {
    runtime().expect("a runtime").block_on(test);
}

const LONG: Duration = Duration::from_secs(60);

#[test]
fn a_closed_loop_ends_with_its_requests() {
    run(async {
        let source = calls(1_000);
        let plan = Closed::new(server(Duration::ZERO).await, 7, LONG);
        let outcome = closed(&plan, &source).await;
        assert_eq!((outcome.count(200), outcome.offered(), outcome.good()), (1_000, 1_000, 1_000));
        assert_eq!(outcome.latency.len(), 1_000);
        assert_eq!(source.with(|calls| (calls.answered, calls.lost)), (1_000, 0));
        assert!(outcome.elapsed < LONG && outcome.rate() > 0.0, "{:?}", outcome.elapsed);
        let seconds: u32 = outcome.seconds.iter().map(|second| second.good).sum();
        assert_eq!(seconds, 1_000);
    });
}

#[test]
fn a_closed_loop_ends_with_its_time_and_leaves_its_warm_up_out() {
    run(async {
        let source = calls(usize::MAX);
        let mut plan =
            Closed::new(server(Duration::from_millis(5)).await, 2, Duration::from_millis(100));
        plan.warm_up = Duration::from_millis(100);
        let outcome = closed(&plan, &source).await;
        assert_eq!(outcome.elapsed, plan.measured);
        let (counted, all) = (outcome.answered(), source.with(|calls| calls.answered as u64));
        assert!(counted > 0 && counted <= all * 3 / 4, "{counted} of {all}");
        assert!(outcome.latency_at(0.5) >= Duration::from_millis(5));
    });
}

#[test]
fn a_load_that_accompanies_another_ends_with_it() {
    run(async {
        let addr = server(Duration::ZERO).await;
        let (main, beside) = (calls(500), calls(usize::MAX));
        let mut accompanying = Open::new(addr, 1_000.0, 4, LONG);
        let stop = accompanying.stop.clone();
        accompanying.spacing = Spacing::Poisson { seed: 1 };
        let plan = Closed::new(addr, 1, LONG);
        let (main, beside) = tokio::join!(
            async {
                let outcome = closed(&plan, &main).await;
                stop.stop();
                outcome
            },
            open(&accompanying, &beside),
        );
        assert_eq!((main.good(), beside.offered()), (500, beside.good()));
    });
}

#[test]
fn an_open_loop_keeps_its_rate_and_counts_the_wait_for_a_connection() {
    run(async {
        // One connection answers 50 a second, and 200 arrive: the last one waits for all before it.
        let source = calls(usize::MAX);
        let addr = server(Duration::from_millis(20)).await;
        let mut plan = Open::new(addr, 200.0, 1, Duration::from_millis(250));
        let outcome = open(&plan, &source).await;
        assert_eq!((outcome.offered(), outcome.good()), (50, 50));
        let longest = outcome.latency_max();
        assert!(longest >= Duration::from_millis(700), "{longest:?}");
        // Where nobody may wait, only those are served that find a free connection.
        plan.waiting_max = 1;
        let outcome = open(&plan, &source).await;
        assert_eq!(outcome.offered(), 50);
        assert!(outcome.not_sent > 20 && outcome.good() > 5, "{outcome:?}");
        // With connections enough nobody waits.
        plan.connections = 64;
        plan.waiting_max = 1_000;
        let outcome = open(&plan, &source).await;
        assert_eq!(outcome.good(), 50);
        assert!(outcome.latency_at(0.5) < Duration::from_millis(200));
    });
}

#[test]
fn an_open_loop_ends_with_its_requests() {
    run(async {
        let source = calls(20);
        let plan = Open::new(server(Duration::ZERO).await, 2_000.0, 3, LONG);
        let outcome = open(&plan, &source).await;
        assert_eq!((outcome.good(), outcome.not_sent), (20, 0));
        assert!(outcome.elapsed < LONG);
    });
}

#[test]
fn what_is_lost_is_counted_by_its_reason() {
    run(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let addr = listener.local_addr().expect("its address");
        drop(listener);
        let source = calls(3);
        let outcome = closed(&Closed::new(addr, 1, LONG), &source).await;
        assert_eq!(outcome.lost[Lost::Unreachable.index()], 3);
        assert_eq!((outcome.lost(), outcome.offered(), outcome.answered()), (3, 3, 0));
        let source = calls(3);
        let outcome = open(&Open::new(addr, 1_000.0, 1, LONG), &source).await;
        assert_eq!((outcome.lost(), outcome.offered()), (3, 3));
        assert_eq!(source.with(|calls| calls.lost), 3);
    });
}
