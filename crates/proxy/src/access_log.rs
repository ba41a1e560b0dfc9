//! The access log: one line per request, a JSON object or a text of a format, written by a thread of its own.
//!
//! Workers write lines into a buffer each. The writer empties them a hundred times a second at most. Lines that find
//! their buffer full, or cannot be written, are dropped and counted: a slow or full disk or pipe never holds a request
//! up, nor the end of the process.

mod format;
mod line;

pub use format::TextFormat;
pub(crate) use format::{Ended, Kept};
pub use line::KEYS;
pub(crate) use line::protocol;

use std::fs::OpenOptions;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use crate::exchange::Exchange;
use crate::options::{AccessLogForm, AccessLogOptions, AccessLogTarget};
use line::Chosen;

/// Bytes that wait in the buffer of a worker at most.
const BUFFER: usize = 1 << 20;
/// How long the writer rests after writing, so that lines are written together.
const REST: Duration = Duration::from_millis(10);

/// Every request.
const ALL: u32 = 1_000_000;
/// How long the last lines may take to be written.
const LAST: Duration = Duration::from_secs(2);

/// Where requests are logged. Dropping it writes what is left, if that can be written.
#[derive(Debug)]
pub(crate) struct AccessLog {
    buffers: Option<Arc<Buffers>>,
    form: Form,
    /// How many of a million requests that went well are logged.
    per_million: u32,
}

/// What a line has.
#[derive(Debug)]
enum Form {
    Json(Chosen),
    Text(TextFormat),
}

#[derive(Debug)]
struct Buffers {
    of_workers: Box<[Mutex<Vec<u8>>]>,
    /// Whether lines wait, or the log is to end.
    wake: Mutex<Wake>,
    woken: Condvar,
    /// Whether the writer waits to be woken.
    resting: AtomicBool,
    dropped: AtomicU64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wake {
    Nothing,
    Lines,
    End,
    /// To whoever ended it: all is written.
    Written,
}

impl AccessLog {
    /// Opens the log for so many workers.
    ///
    /// # Errors
    /// When the file cannot be opened or the writer's thread not be started.
    pub(crate) fn open(options: &AccessLogOptions, workers: usize) -> std::io::Result<Self> {
        let AccessLogOptions {
            target,
            form,
            per_million,
        } = options;
        let sink: Box<dyn Write + Send> = match target {
            AccessLogTarget::Off => {
                return Ok(Self {
                    buffers: None,
                    form: Form::Json(Chosen::ALL),
                    per_million: *per_million,
                });
            }
            AccessLogTarget::Stdout => Box::new(std::io::stdout()),
            AccessLogTarget::File(path) => {
                Box::new(OpenOptions::new().create(true).append(true).open(path)?)
            }
        };
        let mut log = Self::writing_to(sink, workers)?;
        log.form = match form {
            AccessLogForm::Json(keys) => {
                Form::Json(keys.as_deref().map_or(Chosen::ALL, Chosen::of))
            }
            AccessLogForm::Text(format) => Form::Text(format.clone()),
        };
        log.per_million = *per_million;
        Ok(log)
    }

    fn writing_to(mut sink: Box<dyn Write + Send>, workers: usize) -> std::io::Result<Self> {
        let buffers = Arc::new(Buffers {
            of_workers: (0..workers).map(|_| Mutex::default()).collect(),
            wake: Mutex::new(Wake::Nothing),
            woken: Condvar::new(),
            resting: AtomicBool::new(false),
            dropped: AtomicU64::new(0),
        });
        let read = Arc::clone(&buffers);
        std::thread::Builder::new()
            .name("weir-access-log".to_owned())
            .spawn(move || {
                let mut failing = false;
                while read.write_to(&mut sink, &mut failing) {
                    std::thread::sleep(REST);
                }
                read.wake(Wake::Written);
            })?;
        Ok(Self {
            buffers: Some(buffers),
            form: Form::Json(Chosen::ALL),
            per_million: ALL,
        })
    }

    /// Whether anything is logged, so that nothing need be remembered for it otherwise.
    pub(crate) const fn is_on(&self) -> bool {
        self.buffers.is_some()
    }

    /// The format of its lines, where headers may have to be kept for it.
    pub(crate) const fn format(&self) -> Option<&TextFormat> {
        match &self.form {
            Form::Json(_) => None,
            Form::Text(format) => Some(format),
        }
    }

    /// Logs a request that has ended, from a worker.
    pub(crate) fn log(
        &self,
        worker: usize,
        exchange: &Exchange,
        received: u64,
        duration: Duration,
    ) {
        if let Some(buffers) = self.buffers.as_ref().filter(|_| self.takes(exchange)) {
            buffers.append(worker, |line| match &self.form {
                Form::Json(chosen) => line::write(line, *chosen, exchange, received, duration),
                Form::Text(format) => format.write(line, exchange, received, duration),
            });
        }
    }

    /// Whether a request is logged: where its route does not forbid it, all that did not go well, and a share of the others. Which, follows from the
    /// request's id, so that other gateways on the way that go by the same share log the same requests.
    fn takes(&self, exchange: &Exchange) -> bool {
        let entry = exchange.entry.as_ref();
        if entry.is_some_and(|entry| entry.route.rule.unlogged) {
            return false;
        }
        let well = exchange.flags.is_empty()
            && exchange.status.is_some_and(|status| status.as_u16() < 500);
        if !well || self.per_million >= ALL {
            return true;
        }
        let id = exchange.request.request_id.as_ref();
        let id = id.map_or(&[][..], |it| it.as_bytes());
        // FNV-1a; the moment stands in for an id that is not there.
        let seed = 0xcbf2_9ce4_8422_2325_u64
            ^ if id.is_empty() {
                exchange.start.unix_nanos
            } else {
                0
            };
        let hash = id.iter().fold(seed, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
        });
        hash % u64::from(ALL) < u64::from(self.per_million)
    }

    /// Lines dropped so far.
    pub(crate) fn dropped(&self) -> u64 {
        let buffers = self.buffers.as_ref();
        buffers.map_or(0, |buffers| buffers.dropped.load(Ordering::Relaxed))
    }
}

impl Drop for AccessLog {
    fn drop(&mut self) {
        let Some(buffers) = &self.buffers else {
            return;
        };
        buffers.wake(Wake::End);
        let mut wake = buffers.wake.lock();
        let unwritten = |wake: &mut Wake| *wake != Wake::Written;
        buffers.woken.wait_while_for(&mut wake, unwritten, LAST);
        if *wake != Wake::Written {
            tracing::warn!("the last lines of the access log are lost: nothing takes them");
        }
    }
}

impl Buffers {
    fn append(&self, worker: usize, write: impl FnOnce(&mut Vec<u8>)) {
        let mut buffer = self.of_workers[worker % self.of_workers.len()].lock();
        if buffer.len() >= BUFFER {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        write(&mut buffer);
        drop(buffer);
        if self.resting.swap(false, Ordering::AcqRel) {
            self.wake(Wake::Lines);
        }
    }

    fn wake(&self, why: Wake) {
        let mut wake = self.wake.lock();
        // After its end the log is not woken for lines.
        if *wake != Wake::End || why == Wake::Written {
            *wake = why;
        }
        self.woken.notify_all();
    }

    /// Waits for lines and writes them; false when the log has ended. `failing`: whether the last ones could not be
    /// written, which is reported once.
    fn write_to(&self, sink: &mut dyn Write, failing: &mut bool) -> bool {
        let mut wake = self.wake.lock();
        self.resting.store(true, Ordering::Release);
        // A line may have come just before.
        while *wake == Wake::Nothing && self.of_workers.iter().all(|it| it.lock().is_empty()) {
            self.woken.wait(&mut wake);
        }
        self.resting.store(false, Ordering::Release);
        let goes_on = *wake != Wake::End;
        if goes_on {
            *wake = Wake::Nothing;
        }
        drop(wake);
        let mut lines = Vec::new();
        for buffer in &self.of_workers {
            lines.clear();
            std::mem::swap(&mut lines, &mut *buffer.lock());
            if lines.is_empty() {
                continue;
            }
            match sink.write_all(&lines).and_then(|()| sink.flush()) {
                Ok(()) if std::mem::take(failing) => {
                    tracing::info!("the access log can be written again");
                }
                Ok(()) => {}
                Err(error) => {
                    let lost = memchr::memchr_iter(b'\n', &lines).count() as u64;
                    self.dropped.fetch_add(lost, Ordering::Relaxed);
                    if !std::mem::replace(failing, true) {
                        tracing::error!(%error, "the access log cannot be written; its lines are dropped");
                    }
                }
            }
        }
        goes_on
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A place to write to that holds the writer up until it is told otherwise.
    #[derive(Clone, Default)]
    struct Sink {
        written: Arc<Mutex<Vec<u8>>>,
        gate: Arc<Mutex<()>>,
    }

    impl Write for Sink {
        fn write(&mut self, lines: &[u8]) -> std::io::Result<usize> {
            let _gate = self.gate.lock();
            self.written.lock().extend_from_slice(lines);
            Ok(lines.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn append(log: &AccessLog, worker: usize, line: &[u8]) {
        let buffers = log.buffers.as_ref().unwrap();
        buffers.append(worker, |buffer| buffer.extend_from_slice(line));
    }

    #[test]
    fn every_line_of_every_worker_is_written_in_the_end() {
        let sink = Sink::default();
        let log = AccessLog::writing_to(Box::new(sink.clone()), 3).unwrap();
        std::thread::scope(|scope| {
            for worker in 0..3 {
                let log = &log;
                scope.spawn(move || {
                    for n in 0..500 {
                        append(log, worker, format!("{worker} {n}\n").as_bytes());
                    }
                });
            }
        });
        drop(log);
        let written = String::from_utf8(sink.written.lock().clone()).unwrap();
        for worker in ["0", "1", "2"] {
            let lines = written.lines().filter_map(|line| line.split_once(' '));
            let of_worker = lines
                .filter(|(it, _)| *it == worker)
                .map(|(_, n)| n.parse().unwrap());
            assert_eq!(
                of_worker.collect::<Vec<u32>>(),
                (0..500).collect::<Vec<_>>()
            );
        }
    }

    #[test]
    fn lines_that_cannot_be_written_are_counted() {
        let buffers = Buffers {
            of_workers: [Mutex::default(), Mutex::default()].into(),
            wake: Mutex::new(Wake::Nothing),
            woken: Condvar::new(),
            resting: AtomicBool::new(false),
            dropped: AtomicU64::new(0),
        };
        let mut failing = false;
        for (worker, lines) in [(0, "1\n2\n"), (1, "3\n")] {
            buffers.append(worker, |buffer| buffer.extend_from_slice(lines.as_bytes()));
        }
        // A slice takes no more than it has room for.
        assert!(buffers.write_to(&mut [0_u8; 0].as_mut_slice(), &mut failing));
        assert_eq!(
            (buffers.dropped.load(Ordering::Relaxed), failing),
            (3, true)
        );
        buffers.append(0, |buffer| buffer.extend_from_slice(b"4\n"));
        let mut sink = Vec::new();
        assert!(buffers.write_to(&mut sink, &mut failing));
        assert_eq!((sink.as_slice(), failing), (&b"4\n"[..], false));
        assert_eq!(buffers.dropped.load(Ordering::Relaxed), 3);
    }

    #[test]
    fn a_log_that_nothing_takes_does_not_hold_up_the_end() {
        let sink = Sink::default();
        let held = sink.gate.lock();
        let log = AccessLog::writing_to(Box::new(sink.clone()), 1).unwrap();
        append(&log, 0, b"line\n");
        drop(log);
        assert!(sink.written.lock().is_empty());
        drop(held);
    }

    #[test]
    fn a_slow_log_drops_lines_and_counts_them() {
        let sink = Sink::default();
        let held = sink.gate.lock();
        let log = AccessLog::writing_to(Box::new(sink.clone()), 1).unwrap();
        let line = vec![b'x'; BUFFER / 4];
        // The writer may have taken some of the lines before it was held up.
        for _ in 0..12 {
            append(&log, 0, &line);
        }
        assert!(log.dropped() >= 3, "{}", log.dropped());
        drop(held);
        let dropped = log.dropped();
        drop(log);
        let written = sink.written.lock().len() as u64;
        assert_eq!(written, (12 - dropped) * line.len() as u64);
    }
}
