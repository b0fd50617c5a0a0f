//! The words of rows that the model does not know, with the one spelling that each has in the file.
//!
//! A test holds these, and the model's, together with the `CHECK`s of the migrations.

/// Writes `as_str`, `parse`, `ALL` and `Display` for an enum whose variants have one spelling each.
macro_rules! spelled {
    ($name:ident { $($variant:ident = $text:literal),+ $(,)? }) => {
        impl $name {
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }

            pub fn parse(text: &str) -> Option<Self> {
                match text { $($text => Some(Self::$variant),)+ _ => None }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }
    };
}

/// Whether what started a run was known to mean well; inherited by what the run starts.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Trust {
    Trusted,
    Untrusted,
}
spelled!(Trust { Trusted = "trusted", Untrusted = "untrusted" });

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum AttemptStatus {
    /// Its row is committed; the executor may or may not know it.
    Starting,
    Running,
    Ended,
}
spelled!(AttemptStatus { Starting = "starting", Running = "running", Ended = "ended" });

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum SubscriptionStatus {
    Active,
    /// A person stopped it.
    Paused,
    /// Its plugin failed for good; `error` says how.
    Error,
}
spelled!(SubscriptionStatus { Active = "active", Paused = "paused", Error = "error" });

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum PluginStatus {
    Active,
    /// A person switched it off.
    Disabled,
    /// It broke too often; the row says how.
    Quarantined,
}
spelled!(PluginStatus { Active = "active", Disabled = "disabled", Quarantined = "quarantined" });

/// What a fire does while an earlier run of its subscription is open.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Overlap {
    Skip,
    Queue,
    Allow,
    CancelRunning,
}
spelled!(Overlap { Skip = "skip", Queue = "queue", Allow = "allow", CancelRunning = "cancel_running" });

/// What becomes of instants that passed while nobody could decide them.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum CatchUp {
    None,
    Latest,
    All,
}
spelled!(CatchUp { None = "none", Latest = "latest", All = "all" });

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum FireDecision {
    /// Ask the plugin what to start.
    Start,
    /// An earlier run is open and the subscription's overlap says so.
    Skip,
    /// It passed while the host was away and is not caught up.
    Missed,
}
spelled!(FireDecision { Start = "start", Skip = "skip", Missed = "missed" });

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum FireStatus {
    /// The plugin is to be called, or is being called.
    Open,
    Done,
    Failed,
}
spelled!(FireStatus { Open = "open", Done = "done", Failed = "failed" });
