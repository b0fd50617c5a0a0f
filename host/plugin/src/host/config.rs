//! `hostler:host/config`: the operator's settings, as they were checked when the plugin was loaded.

use super::Guest;
use crate::bindings::hostler::host::config::Host;

impl Host for Guest {
    async fn get(&mut self) -> String {
        self.settings.to_string()
    }
}
