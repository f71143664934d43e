//! Processor time by part of the program: what each turn of its tasks takes of the thread that it runs on.
//!
//! Only on Linux; elsewhere nothing is counted. A turn costs two looks at the clock of the thread, about half a microsecond
//! each on most machines. Work that a task hands to other threads is theirs.

use std::future::poll_fn;
use std::pin::pin;
use std::time::Duration;

use metrics::Counter;

use super::catalogue::{self as all, CONNECTOR};

/// Counts the processor time of a part of the program.
#[derive(Clone, Debug)]
pub(crate) struct ProcessorMeter(Counter);

impl ProcessorMeter {
    /// That of a stage of a connector. Tasks of one stage count together.
    pub(crate) fn of_stage(connector: &str, stage: &str) -> Self {
        Self::counting(all::STAGE_PROCESSOR.counter(&[(CONNECTOR, connector), ("stage", stage)]))
    }

    /// That of the connections of the HTTP server, of what their requests do on the same thread, and of reading Bundles.
    pub(crate) fn of_http() -> Self {
        Self::counting(all::HTTP_PROCESSOR.counter(&[]))
    }

    fn counting(counter: Counter) -> Self {
        counter.increment(0);
        Self(counter)
    }

    /// The same work, counted.
    pub(crate) fn metered<F: Future>(&self, work: F) -> impl Future<Output = F::Output> + use<F> {
        let meter = self.clone();
        async move {
            let mut work = pin!(work);
            poll_fn(move |context| meter.call(|| work.as_mut().poll(context))).await
        }
    }

    /// As `metered`, for work without waits.
    pub(crate) fn call<T>(&self, work: impl FnOnce() -> T) -> T {
        let began = used_by_thread();
        let done = work();
        let took = used_by_thread().saturating_sub(began);
        self.0.increment(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
        done
    }
}

#[cfg(target_os = "linux")]
fn used_by_thread() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

#[cfg(not(target_os = "linux"))]
fn used_by_thread() -> Duration {
    Duration::ZERO
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::time::Duration;

    use super::{ProcessorMeter, used_by_thread};
    use crate::telemetry::meters::{recorder, value_of};

    const SERIES: &str = r#"stage_processor_nanoseconds_total{connector="wards",stage="group"}"#;
    const WORK: Duration = Duration::from_millis(3);

    fn work() {
        let began = used_by_thread();
        while used_by_thread().saturating_sub(began) < WORK {}
    }

    #[tokio::test(flavor = "current_thread")]
    async fn every_turn_of_a_task_is_counted_and_its_waits_are_not() {
        let recorder = recorder();
        let meter = metrics::with_local_recorder(&recorder, || ProcessorMeter::of_stage("wards", "group"));
        let task = meter.metered(async {
            work();
            // Another turn, after work that is not of this task.
            tokio::task::yield_now().await;
            work();
            7
        });
        let other = async { (0..20).for_each(|_| work()) };
        let (answer, ()) = tokio::join!(task, other);
        assert_eq!(answer, 7);
        let counted = Duration::from_secs_f64(value_of(&recorder, SERIES) / 1e9);
        assert!(counted >= WORK * 2 && counted < WORK * 20, "{counted:?}");
    }
}
