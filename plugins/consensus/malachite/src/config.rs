//! The configuration of the plugin.

use std::time::Duration;

use malachite_types::LinearTimeouts;
use serde::Deserialize;

/// What an operator may set.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(default)]
pub struct Config {
    pub timeout_propose_ms: u32,
    pub timeout_prevote_ms: u32,
    pub timeout_precommit_ms: u32,
    pub resend_ms: u32,
    pub build_ms: u32,
    pub idle_ms: u32,
    pub empty_blocks: bool,
    pub max_early_messages: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            timeout_propose_ms: 500,
            timeout_prevote_ms: 200,
            timeout_precommit_ms: 100,
            resend_ms: 250,
            build_ms: 250,
            idle_ms: 5,
            empty_blocks: false,
            max_early_messages: 64,
        }
    }
}

/// Describes [`Config`] to the operator and to the check of the configuration.
pub const SCHEMA: &str = r#"{
  "type": "object",
  "properties": {
    "timeout_propose_ms": {
      "type": "integer", "minimum": 20, "maximum": 60000, "default": 500,
      "description": "how long the others wait for a proposal before they go on without it; half of it more in each round; across hosts 1000"
    },
    "timeout_prevote_ms": {
      "type": "integer", "minimum": 1, "maximum": 60000, "default": 200, "description": "how long to wait for more prevotes; half of it more in each round"
    },
    "timeout_precommit_ms": {
      "type": "integer", "minimum": 1, "maximum": 60000, "default": 100, "description": "how long to wait for more precommits; half of it more in each round"
    },
    "resend_ms": {
      "type": "integer", "minimum": 20, "maximum": 60000, "default": 250,
      "description": "how long to wait for progress before votes are sent again, a failed build is tried again and a missing body is asked for again"
    },
    "build_ms": {
      "type": "integer", "minimum": 1, "maximum": 60000, "default": 250,
      "description": "how long a block may stay open; less than timeout_propose_ms, for it has to reach the others too"
    },
    "idle_ms": {
      "type": "integer", "minimum": 1, "maximum": 60000, "default": 5, "description": "close the block when no transaction came for so long"
    },
    "empty_blocks": {
      "type": "boolean", "default": false, "description": "make blocks all the time, each after build_ms at the latest, and not only when there are transactions"
    },
    "max_early_messages": {
      "type": "integer", "minimum": 1, "maximum": 100000, "default": 64,
      "description": "how many messages of each validator for the next height are kept until this node is there; the oldest is dropped"
    }
  }
}"#;

/// The longest that a timeout grows to in later rounds.
const LONGEST: Duration = Duration::from_secs(60);

impl Config {
    /// Reads what the SDK has checked against [`SCHEMA`].
    pub fn read(text: &[u8]) -> Result<Self, String> {
        if text.is_empty() {
            return Ok(Self::default());
        }
        serde_json::from_slice(text).map_err(|error| format!("configuration: {error}"))
    }

    /// Malachite's timeouts.
    pub fn timeouts(&self) -> LinearTimeouts {
        let ms = |n: u32| Duration::from_millis(n.into());
        LinearTimeouts {
            propose: ms(self.timeout_propose_ms),
            propose_delta: ms(self.timeout_propose_ms / 2),
            prevote: ms(self.timeout_prevote_ms),
            prevote_delta: ms(self.timeout_prevote_ms / 2),
            precommit: ms(self.timeout_precommit_ms),
            precommit_delta: ms(self.timeout_precommit_ms / 2),
            rebroadcast: ms(self.resend_ms),
            max_timeout: LONGEST,
        }
    }
}

#[cfg(test)]
mod tests {
    use ordo_sdk::consensus::Schema;

    use super::*;

    #[test]
    fn the_defaults_of_the_schema_are_those_of_the_code() {
        let whole = Schema::parse(SCHEMA).unwrap().complete(b"{}").unwrap();
        assert_eq!(Config::read(&whole).unwrap(), Config::default());
        assert_eq!(Config::read(b"").unwrap(), Config::default());
    }
}
