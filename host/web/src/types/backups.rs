//! Backups: files that hold a whole data folder.

use super::Time;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct BackupPath {
    /// The name of the backup.
    #[param(example = "hostler-20260101T000000000Z.tar")]
    pub backup: String,
}

/// Where a backup is to go.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BackupCreate {
    /// A folder, or a file that is not there yet, as an absolute path on the machine of the host. Its own folder of
    /// backups unless told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum BackupStatus {
    Running,
    Done,
    Failed,
}

/// One backup of this host.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Backup {
    pub name: String,
    /// On the machine of the host.
    pub path: String,
    pub status: BackupStatus,
    /// What it holds had been committed then.
    pub made_at: Time,
    /// Of the file, once it is whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}
