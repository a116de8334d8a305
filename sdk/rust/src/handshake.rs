//! go-plugin's handshake before the first gRPC call: the cookie, a version, one line on stdout.

use std::io::Write;
use std::os::fd::{AsRawFd, RawFd};
use std::path::{Path, PathBuf};

use crate::v1::{DescribeResponse, Stage};

/// The magic cookie. It is no secret: it only tells a start by the host from a start by hand.
pub const COOKIE_KEY: &str = "ORDO_PLUGIN";
pub const COOKIE_VALUE: &str = "ordo-sequencer-plugin-v1";

/// The major version of the plugin protocol that this crate has.
pub const APP_VERSION: u32 = 1;

const CORE_VERSION: u32 = 1;

/// How the process was started.
#[derive(Debug, PartialEq)]
pub enum Start {
    ByHost,
    ByHand,
    /// `ORDO_PLUGIN_LISTEN` names a socket, and a node attaches to it.
    Attached {
        address: String,
        socket: PathBuf,
    },
}

/// The variables that decide it.
#[derive(Default)]
pub struct Environment {
    pub cookie: Option<String>,
    pub listen: Option<String>,
    pub tls: bool,
}

impl Environment {
    pub fn of_the_process() -> Self {
        let read = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let tls = ["ORDO_PLUGIN_TLS_CA", "ORDO_PLUGIN_TLS_CERT", "ORDO_PLUGIN_TLS_KEY"];
        Self {
            cookie: read(COOKIE_KEY),
            listen: read("ORDO_PLUGIN_LISTEN"),
            tls: tls.iter().any(|name| read(name).is_some()),
        }
    }
}

/// Tells how the process was started, or what it was asked for that this crate does not do.
pub fn start(environment: &Environment) -> Result<Start, String> {
    let by_host = environment.cookie.as_deref() == Some(COOKIE_VALUE);
    if environment.tls && (by_host || environment.listen.is_some()) {
        return Err("certificates are asked for (ORDO_PLUGIN_TLS_CA, _CERT, _KEY), and plugins in Rust serve no TLS: \
                    run it on a unix socket without them"
            .into());
    }
    if let Some(address) = &environment.listen {
        return match address.strip_prefix("unix://") {
            Some(path) if path.starts_with('/') => {
                Ok(Start::Attached { address: address.clone(), socket: PathBuf::from(path) })
            }
            _ if address.starts_with("tcp://") => Err(format!(
                "ORDO_PLUGIN_LISTEN={address:?}: plugins in Rust serve no TLS, so no tcp: choose unix:///absolute/path"
            )),
            _ => Err(format!("ORDO_PLUGIN_LISTEN={address:?}: choose unix:///absolute/path")),
        };
    }
    Ok(if by_host { Start::ByHost } else { Start::ByHand })
}

/// The stage as flags and logs write it.
pub fn stage_name(plugin: &DescribeResponse) -> String {
    Stage::try_from(plugin.stage)
        .map_or_else(|_| "unknown".into(), |stage| stage.as_str_name().trim_start_matches("STAGE_").to_lowercase())
}

/// The text of a start by hand; the Go SDK says the same.
pub fn introduction(program: &str, plugin: &DescribeResponse) -> String {
    let (stage, name) = (stage_name(plugin), &plugin.name);
    let mut text = format!(
        "{program} is the ordo {stage} plugin {name:?}, version {}.\n\
         It is not run by hand: a node starts it. Try\n\n    ordo dev --{stage} {program}\n\n\
         To run it apart, in a debugger say, give it a place to listen and attach a node to that:\n\n    \
         ORDO_PLUGIN_LISTEN=unix:///tmp/{name}.sock {program}\n    ordo dev --{stage}-attach unix:///tmp/{name}.sock\n",
        plugin.version
    );
    if !plugin.capabilities.is_empty() {
        text += &format!("\ncapabilities: {}\n", plugin.capabilities.join(", "));
    }
    if !plugin.config_schema.is_empty() {
        text += &format!("\nconfiguration (JSON Schema):\n{}\n", plugin.config_schema);
    }
    text
}

/// The highest version that both sides know. The host's list comes in any order; without a list it is version 1.
/// With none in common the answer is our lowest, and the host reports the mismatch.
pub fn choose_version(offered: Option<&str>, known: &[u32]) -> u32 {
    let lowest = known.iter().copied().min().unwrap_or(APP_VERSION);
    let Some(offered) = offered.filter(|list| !list.trim().is_empty()) else {
        return lowest;
    };
    offered
        .split(',')
        .filter_map(|number| number.trim().parse().ok())
        .filter(|number| known.contains(number))
        .max()
        .unwrap_or(lowest)
}

pub fn line(version: u32, socket: &Path) -> String {
    format!("{CORE_VERSION}|{version}|unix|{}|grpc|\n", socket.display())
}

/// Prints the handshake line, then redirects stdout to stderr: the host stops reading stdout, so a print of a library would fill the
/// pipe.
pub fn announce(version: u32, socket: &Path) -> std::io::Result<()> {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(line(version, socket).as_bytes())?;
    stdout.flush()?;
    redirect(std::io::stderr().as_raw_fd(), stdout.as_raw_fd())
}

fn redirect(from: RawFd, to: RawFd) -> std::io::Result<()> {
    // SAFETY: dup2 on two descriptors that this process owns; no memory is involved.
    if unsafe { libc::dup2(from, to) } < 0 {
        return Err(std::io::Error::last_os_error());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_common_version_wins_in_any_order() {
        assert_eq!(choose_version(Some("2,7,1"), &[1]), 1);
        assert_eq!(choose_version(Some("3, 1,2"), &[1, 2]), 2);
        assert_eq!(choose_version(Some("9"), &[1, 2]), 1);
        assert_eq!(choose_version(Some("x,,2"), &[1, 2]), 2);
        assert_eq!(choose_version(Some(""), &[1]), 1);
        assert_eq!(choose_version(None, &[1]), 1);
    }

    fn started(cookie: Option<&str>, listen: Option<&str>, tls: bool) -> Result<Start, String> {
        start(&Environment { cookie: cookie.map(Into::into), listen: listen.map(Into::into), tls })
    }

    #[test]
    fn the_environment_tells_who_started_the_process() {
        assert_eq!(started(Some(COOKIE_VALUE), None, false), Ok(Start::ByHost));
        assert_eq!(started(None, None, false), Ok(Start::ByHand));
        assert_eq!(started(Some("other"), None, true), Ok(Start::ByHand));
        let address = "unix:///tmp/x.sock";
        assert_eq!(
            started(None, Some(address), false),
            Ok(Start::Attached { address: address.into(), socket: "/tmp/x.sock".into() })
        );
    }

    #[test]
    fn what_this_crate_does_not_do_is_refused_in_words() {
        for (listen, tls, want) in [
            (Some("tcp://127.0.0.1:1"), false, "no tcp: choose unix:///absolute/path"),
            (Some("unix://relative"), false, "choose unix:///absolute/path"),
            (Some("/tmp/x.sock"), false, "choose unix:///absolute/path"),
            (Some("unix:///tmp/x.sock"), true, "serve no TLS"),
        ] {
            let text = started(None, listen, tls).unwrap_err();
            assert!(text.contains(want), "{text}");
        }
        assert!(started(Some(COOKIE_VALUE), None, true).unwrap_err().contains("serve no TLS"));
    }

    #[test]
    fn a_start_by_hand_is_told_name_stage_and_what_to_do() {
        let plugin = DescribeResponse {
            name: "mine".into(),
            version: "1.2.3".into(),
            stage: Stage::Execution.into(),
            capabilities: vec!["view".into()],
            config_schema: "{}".into(),
            ..Default::default()
        };
        let text = introduction("./mine", &plugin);
        for part in [
            "./mine is the ordo execution plugin \"mine\", version 1.2.3.",
            "ordo dev --execution ./mine",
            "ORDO_PLUGIN_LISTEN=unix:///tmp/mine.sock ./mine",
            "ordo dev --execution-attach unix:///tmp/mine.sock",
            "capabilities: view",
            "configuration (JSON Schema):\n{}",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }

    #[test]
    fn the_line_has_the_fields_of_go_plugin() {
        assert_eq!(line(1, Path::new("/run/x.sock")), "1|1|unix|/run/x.sock|grpc|\n");
    }
}
