//! Log lines as the host reads them: one JSON object a line on stderr, in the shape of hclog.
//!
//! [`event`] is for the plugin itself; libraries that use the `log` facade arrive through [`install`].

use std::fmt::Display;
use std::io::Write;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value};

/// The host cuts lines at 64 KiB; a cut line is no longer JSON. So texts are bounded here.
const MAX_MESSAGE: usize = 16 << 10;
const MAX_VALUE: usize = 8 << 10;
const MAX_FIELDS: usize = 4;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    Trace,
    Debug,
    Info,
    Warn,
    Error,
}

impl Level {
    fn name(self) -> &'static str {
        match self {
            Level::Trace => "trace",
            Level::Debug => "debug",
            Level::Info => "info",
            Level::Warn => "warn",
            Level::Error => "error",
        }
    }
}

/// Writes one record. Fields are key and value; the keys of hclog itself cannot be overwritten.
pub fn event(level: Level, message: impl Display, fields: &[(&str, &dyn Display)]) {
    let line = render(level, &message.to_string(), fields, SystemTime::now());
    // One write per line, so that lines of several threads do not mix. A closed stderr is no reason to stop.
    let _ = std::io::stderr().lock().write_all(line.as_bytes());
}

pub fn debug(message: impl Display, fields: &[(&str, &dyn Display)]) {
    if log::max_level() >= log::LevelFilter::Debug {
        event(Level::Debug, message, fields);
    }
}

pub fn info(message: impl Display, fields: &[(&str, &dyn Display)]) {
    event(Level::Info, message, fields);
}

pub fn warn(message: impl Display, fields: &[(&str, &dyn Display)]) {
    event(Level::Warn, message, fields);
}

pub fn error(message: impl Display, fields: &[(&str, &dyn Display)]) {
    event(Level::Error, message, fields);
}

fn render(level: Level, message: &str, fields: &[(&str, &dyn Display)], now: SystemTime) -> String {
    let mut record = Map::new();
    for (key, value) in fields.iter().take(MAX_FIELDS * 4) {
        if !key.starts_with('@') {
            let bound = if fields.len() <= MAX_FIELDS { MAX_VALUE } else { MAX_VALUE / 4 };
            record.insert((*key).into(), Value::String(bounded(&value.to_string(), bound)));
        }
    }
    record.insert("@level".into(), level.name().into());
    record.insert("@message".into(), bounded(message, MAX_MESSAGE).into());
    record.insert("@timestamp".into(), timestamp(now).into());
    let mut line = Value::Object(record).to_string();
    line.push('\n');
    line
}

fn bounded(text: &str, most: usize) -> String {
    if text.len() <= most {
        return text.into();
    }
    let mut end = most;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}... ({} bytes more)", &text[..end], text.len() - end)
}

/// RFC 3339 with exactly six digits of the second: with another number the host does not take the line for a record.
fn timestamp(now: SystemTime) -> String {
    let since = now.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let (days, second) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    // Civil date from days since 1970 (era of 400 years, year beginning in March).
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let of_era = shifted % 146_097;
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let day_of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_index = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_index + 2) / 5 + 1;
    let month = if month_index < 10 { month_index + 3 } else { month_index - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:06}Z",
        second / 3600,
        second / 60 % 60,
        second % 60,
        since.subsec_micros()
    )
}

struct Facade;

impl log::Log for Facade {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &log::Record<'_>) {
        // Libraries speak of their inner life at info; that is debug to an operator.
        let level = match record.level() {
            log::Level::Error => Level::Error,
            log::Level::Warn => Level::Warn,
            log::Level::Info | log::Level::Debug => Level::Debug,
            log::Level::Trace => Level::Trace,
        };
        let enabled = match level {
            Level::Debug => log::max_level() >= log::LevelFilter::Debug,
            _ => self.enabled(record.metadata()),
        };
        if enabled {
            event(level, record.args(), &[("target", &record.target())]);
        }
    }

    fn flush(&self) {}
}

/// Sends the `log` facade and panics to stderr as records. `filter` is the level of the plugin: `ORDO_PLUGIN_LOG`.
pub fn install(filter: Option<&str>) {
    let level = filter.and_then(|name| name.parse().ok()).unwrap_or(log::LevelFilter::Info);
    if log::set_boxed_logger(Box::new(Facade)).is_ok() {
        log::set_max_level(level);
    }
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let thread = std::thread::current();
        let name = thread.name().unwrap_or("unnamed").to_string();
        error(format!("panic: {}", panic_text(panic.payload())), &[("at", &place), ("thread", &name)]);
    }));
}

/// The text of a caught panic.
pub fn panic_text(payload: &(dyn std::any::Any + Send)) -> String {
    payload
        .downcast_ref::<&str>()
        .map(|text| (*text).to_string())
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "unknown cause".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_what_hclog_parses() {
        let at = UNIX_EPOCH + Duration::new(1_709_210_096, 1_234_000);
        let line = render(Level::Warn, "two\nlines", &[("height", &7), ("@level", &"x")], at);
        assert_eq!(
            line,
            "{\"@level\":\"warn\",\"@message\":\"two\\nlines\",\"@timestamp\":\"2024-02-29T12:34:56.001234Z\",\"height\":\"7\"}\n"
        );
        assert_eq!(timestamp(UNIX_EPOCH), "1970-01-01T00:00:00.000000Z");
    }

    #[test]
    fn long_texts_stay_below_the_hosts_line_buffer() {
        let long = "ä".repeat(100_000);
        let fields: Vec<(&str, &dyn Display)> =
            ["a", "b", "c", "d", "e", "f"].iter().map(|key| (*key, &long as &dyn Display)).collect();
        let line = render(Level::Info, &long, &fields, UNIX_EPOCH);
        assert!(line.len() < 64 << 10, "{}", line.len());
        assert!(serde_json::from_str::<Value>(&line).is_ok());
    }
}
