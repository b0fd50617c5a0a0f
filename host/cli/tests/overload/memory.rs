//! The host's memory over time: looked at each second, and told as two halves after a warm-up.

use crate::figures::Spread;
use crate::processes::resident_mib;
use std::time::{Duration, Instant};

const EACH: Duration = Duration::from_secs(1);

/// Of the whole time: until caches are full and every thread has its stack.
const WARM_UP: f64 = 0.25;

/// What one half of the time shows.
pub(crate) struct Half {
    pub(crate) median_mib: f64,
    pub(crate) slope_mib_per_minute: f64,
}

pub(crate) struct Memory {
    samples: Vec<(f64, f64)>,
}

impl Memory {
    /// Looks until `end`.
    pub(crate) async fn watch(pid: u32, end: Instant) -> Self {
        let (begun, mut samples) = (Instant::now(), Vec::new());
        while Instant::now() < end {
            samples.push((begun.elapsed().as_secs_f64(), resident_mib(pid)));
            // tidy: allow(sleep), because another process is looked at from time to time.
            tokio::time::sleep(EACH).await;
        }
        Self { samples }
    }

    pub(crate) fn most(&self) -> f64 {
        self.samples.iter().map(|(_, mib)| *mib).fold(0.0, f64::max)
    }

    pub(crate) fn halves(&self) -> [Half; 2] {
        let warm = (self.samples.len() as f64 * WARM_UP) as usize;
        let rest = &self.samples[warm..];
        let (first, second) = rest.split_at(rest.len() / 2);
        [half(first), half(second)]
    }
}

fn half(samples: &[(f64, f64)]) -> Half {
    let count = samples.len() as f64;
    let (at, mib): (f64, f64) = samples.iter().fold((0.0, 0.0), |sum, (at, mib)| (sum.0 + at, sum.1 + mib));
    let (at, mib) = (at / count, mib / count);
    let over: f64 = samples.iter().map(|sample| (sample.0 - at) * (sample.1 - mib)).sum();
    let under: f64 = samples.iter().map(|sample| (sample.0 - at).powi(2)).sum();
    Half {
        median_mib: Spread::new(samples.iter().map(|(_, mib)| *mib).collect()).median(),
        slope_mib_per_minute: if under > 0.0 { 60.0 * over / under } else { 0.0 },
    }
}
