// SPDX-License-Identifier: MIT

//! Workloads of `bench` written with tokio. Prints one line of JSON for each. Times are wall times.

use std::time::Instant;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc;

fn on_one_thread() -> Runtime {
    Builder::new_current_thread().build().expect("a runtime")
}

fn report(name: &str, n: usize, rounds: usize, run: impl Fn(usize)) {
    run(n);
    let mut times: Vec<f64> = (0..rounds)
        .map(|_| {
            let begin = Instant::now();
            run(n);
            begin.elapsed().as_nanos() as f64 / n as f64
        })
        .collect();
    times.sort_by(f64::total_cmp);
    println!("{{\"name\": \"{name}\", \"n\": {n}, \"ns\": {:.1}}}", times[rounds / 2]);
}

fn gather(n: usize, yields: bool) {
    on_one_thread().block_on(async move {
        let children: Vec<_> = (0..n)
            .map(|i| {
                tokio::spawn(async move {
                    if yields {
                        tokio::task::yield_now().await;
                    }
                    i
                })
            })
            .collect();
        let mut values = Vec::with_capacity(n);
        for child in children {
            values.push(child.await.expect("a value"));
        }
        std::hint::black_box(values);
    });
}

fn ping_pong(n: usize) {
    let (there, mut there_out) = mpsc::unbounded_channel::<usize>();
    let (back, mut back_out) = mpsc::unbounded_channel::<usize>();
    let other = std::thread::spawn(move || {
        on_one_thread().block_on(async move {
            while let Some(i) = there_out.recv().await {
                back.send(i).expect("a receiver");
            }
        })
    });
    on_one_thread().block_on(async move {
        for i in 0..n {
            there.send(i).expect("a receiver");
            back_out.recv().await;
        }
    });
    other.join().expect("the other thread");
}

fn posts(n: usize) {
    type Letter = Box<dyn FnOnce() -> usize + Send>;
    let (letters, mut out) = mpsc::unbounded_channel::<Letter>();
    let poster = std::thread::spawn(move || {
        for _ in 0..n {
            letters.send(Box::new(|| 1usize) as Letter).ok().expect("a receiver");
        }
    });
    on_one_thread().block_on(async move {
        let mut seen = 0;
        while let Some(call) = out.recv().await {
            seen += call();
        }
        assert_eq!(seen, n);
    });
    poster.join().expect("the poster");
}

fn pool(n: usize) {
    let threads = Builder::new_multi_thread().worker_threads(1).max_blocking_threads(2).build().expect("a runtime");
    threads.block_on(async move {
        let calls: Vec<_> = (0..n).map(|_| tokio::task::spawn_blocking(|| 1)).collect();
        let mut values = Vec::with_capacity(n);
        for call in calls {
            values.push(call.await.expect("a value"));
        }
        std::hint::black_box(values);
    });
}

fn main() {
    for n in [1_000, 100_000] {
        report("gather, children ready", n, 15, |n| gather(n, false));
        report("gather, each child yields once", n, 15, |n| gather(n, true));
    }
    report("ping-pong of two loops, on two", 10_000, 7, ping_pong);
    report("posts to a loop from another thread", 100_000, 15, posts);
    report("calls on a pool of two threads", 100_000, 7, pool);
}
