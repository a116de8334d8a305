//! go-plugin's handshake before the first gRPC call: the cookie, a version, one line on stdout.

use std::io::Write;
use std::os::fd::{AsRawFd, RawFd};
use std::path::Path;

/// The magic cookie. It is no secret: it only tells a start by the host from a start by hand.
pub const COOKIE_KEY: &str = "ORDO_PLUGIN";
pub const COOKIE_VALUE: &str = "ordo-sequencer-plugin-v1";

/// The major version of the plugin protocol that this crate has.
pub const APP_VERSION: u32 = 1;

const CORE_VERSION: u32 = 1;

pub fn check_cookie(value: Option<&str>, program: &str) -> Result<(), String> {
    if value == Some(COOKIE_VALUE) {
        return Ok(());
    }
    Err(format!(
        "{program} is a plugin of ordo: it is started by `ordo dev` or `ordo run`, not by hand.\n\
         To use it as a stage, name its path in the configuration (or --ordering, --execution, --storage, --consensus)."
    ))
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

    #[test]
    fn a_start_by_hand_is_told_what_to_do() {
        assert!(check_cookie(Some(COOKIE_VALUE), "x").is_ok());
        for wrong in [None, Some("other")] {
            let text = check_cookie(wrong, "ordo-execution-blockifier").unwrap_err();
            assert!(text.starts_with("ordo-execution-blockifier is a plugin of ordo"), "{text}");
        }
    }

    #[test]
    fn the_line_has_the_fields_of_go_plugin() {
        assert_eq!(line(1, Path::new("/run/x.sock")), "1|1|unix|/run/x.sock|grpc|\n");
    }
}
