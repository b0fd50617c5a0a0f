//! The exit codes of the binary: one table, from which the program ends and the reference is printed.
//!
//! Invariants: a number never changes its meaning once released; every failure has exactly one code.

use hostler_model::{Kind, Outcome};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ExitCode {
    Success,
    Failed,
    Invalid,
    RunCancelled,
    RunTimedOut,
    Unreachable,
    NotFound,
    Conflict,
    Denied,
    Unavailable,
    Internal,
    Interrupted,
}

impl ExitCode {
    pub(crate) const ALL: [Self; 12] = [
        Self::Success,
        Self::Failed,
        Self::Invalid,
        Self::RunCancelled,
        Self::RunTimedOut,
        Self::Unreachable,
        Self::NotFound,
        Self::Conflict,
        Self::Denied,
        Self::Unavailable,
        Self::Internal,
        Self::Interrupted,
    ];

    pub(crate) const fn number(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Failed => 1,
            Self::Invalid => 2,
            Self::RunCancelled => 3,
            Self::RunTimedOut => 4,
            Self::Unreachable => 5,
            Self::NotFound => 6,
            Self::Conflict => 7,
            Self::Denied => 8,
            Self::Unavailable => 9,
            Self::Internal => 70,
            Self::Interrupted => 130,
        }
    }

    pub(crate) const fn meaning(self) -> &'static str {
        match self {
            Self::Success => "done; with `--watch`, the run ended in success",
            Self::Failed => {
                "the run that was watched failed; `doctor` found something that does not work; a case of `plugin test` failed"
            }
            Self::Invalid => "the command line, a file or a value is wrong; the same again fails again",
            Self::RunCancelled => "the run that was watched was cancelled",
            Self::RunTimedOut => "the run that was watched was over its time",
            Self::Unreachable => "no host answers at the address",
            Self::NotFound => "the pipeline, run, subscription or plugin does not exist",
            Self::Conflict => "the thing is in a state in which this cannot be done; nothing was changed",
            Self::Denied => "the token is missing, unknown or may not do this",
            Self::Unavailable => {
                "the host is busy or stopping, or a port, folder or disk cannot be used; try again later"
            }
            Self::Internal => "a defect of hostler; please report it",
            Self::Interrupted => "ended by a signal before it was done; a run that was watched goes on",
        }
    }
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Success => Self::Success,
            Outcome::Failed => Self::Failed,
            Outcome::Cancelled => Self::RunCancelled,
            Outcome::TimedOut => Self::RunTimedOut,
        }
    }
}

impl From<Kind> for ExitCode {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Invalid | Kind::TooLarge => Self::Invalid,
            Kind::Unauthenticated | Kind::Denied => Self::Denied,
            Kind::NotFound => Self::NotFound,
            Kind::Conflict => Self::Conflict,
            Kind::Busy | Kind::Unavailable => Self::Unavailable,
            Kind::Internal => Self::Internal,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::ExitCode;

    #[test]
    fn each_number_means_one_thing() {
        let mut numbers: Vec<u8> = ExitCode::ALL.iter().map(|code| code.number()).collect();
        numbers.dedup();
        assert_eq!(numbers.len(), ExitCode::ALL.len());
        assert!(numbers.is_sorted());
    }
}
