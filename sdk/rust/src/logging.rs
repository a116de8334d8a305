//! Log lines as the host reads them: one JSON object a line on stderr, in the shape of hclog.
//!
//! A plugin logs by the macros of [`tracing`]. [`serve`](crate::serve) calls [`install`], which writes their events, those of
//! libraries that use the `log` facade, and panics. The info of libraries is about themselves, and there may be much of it: it counts
//! as debug. [`layer`] is for a program that puts its subscriber together itself.
//!
//! ```
//! use ordo_sdk::tracing::{info, info_span};
//!
//! let _block = info_span!("block", height = 7).entered();
//! info!(transactions = 12, "closed"); // {"@level":"info","@message":"closed","height":7,"span":"block","transactions":12,...}
//! ```

mod record;

use std::io::Write;
use std::time::SystemTime;

use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;

use record::{bounded, render, Fields, MAX_NAME};

/// A [`Layer`] that writes each event as one line. Fields keep their type; those of the spans around an event are written with
/// it, where the inner one wins, and `span` has the names of the spans from the outermost on.
pub struct HclogLayer {
    write: Box<dyn Fn(&str) + Send + Sync>,
    /// The crates whose info is info. Without any it is that of all crates.
    own: Vec<String>,
}

impl HclogLayer {
    fn level(&self, target: &str, level: Level) -> Level {
        match level {
            Level::INFO if !self.own.is_empty() && !self.own.iter().any(|own| own == crate_of(target)) => Level::DEBUG,
            other => other,
        }
    }
}

/// The crate of a target, which is the path of a module.
fn crate_of(target: &str) -> &str {
    target.split("::").next().unwrap_or(target)
}

/// The layer that writes to stderr.
pub fn layer() -> HclogLayer {
    HclogLayer { write: Box::new(to_stderr), own: Vec::new() }
}

fn to_stderr(line: &str) {
    // One write per line, so that lines of several threads do not mix. A closed stderr is no reason to stop.
    let _ = std::io::stderr().lock().write_all(line.as_bytes());
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for HclogLayer {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        span.extensions_mut().insert(fields);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut extensions = span.extensions_mut();
        let mut later = Fields::default();
        values.record(&mut later);
        if let Some(earlier) = extensions.get_mut::<Fields>() {
            later.inherit(earlier);
            *earlier = later;
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        if let Some(scope) = context.event_scope(event) {
            let mut names = Vec::new();
            for span in scope {
                names.push(span.name());
                if let Some(of_span) = span.extensions().get::<Fields>() {
                    fields.inherit(of_span);
                }
            }
            names.reverse();
            fields.set("span", names.join(":").into());
        }
        let metadata = event.metadata();
        let level = self.level(metadata.target(), *metadata.level());
        (self.write)(&render(level, metadata.target(), &fields, SystemTime::now()));
    }
}

/// Writes what libraries log by the `log` facade.
struct Facade;

impl log::Log for Facade {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        as_debug(metadata.level()) <= log::max_level()
    }

    fn log(&self, record: &log::Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let level = match as_debug(record.level()) {
            log::Level::Error => Level::ERROR,
            log::Level::Warn => Level::WARN,
            log::Level::Info | log::Level::Debug => Level::DEBUG,
            log::Level::Trace => Level::TRACE,
        };
        let target = bounded(record.target(), MAX_NAME);
        let values = vec![("target", target.clone().into())];
        let fields = Fields { message: record.args().to_string(), values, dropped: 0 };
        to_stderr(&render(level, &target, &fields, SystemTime::now()));
    }

    fn flush(&self) {}
}

/// The level of a library's record: its info is about itself, which is debug to an operator.
fn as_debug(level: log::Level) -> log::Level {
    match level {
        log::Level::Info => log::Level::Debug,
        other => other,
    }
}

/// Sends events of `tracing`, records of the `log` facade, and panics to stderr. `filter` is the level of the plugin, from the
/// environment variable `ORDO_PLUGIN_LOG`; absent: info. `own` names the plugin's crates as targets have them (`my_plugin`): the info
/// of others counts as debug. [`serve`](crate::serve) names the crate that its argument is of; a plugin of several crates calls this
/// before it, because a subscriber or logger that is set already stays.
pub fn install(filter: Option<&str>, own: &[&str]) {
    let level = filter.and_then(|name| name.parse().ok()).unwrap_or(LevelFilter::INFO);
    let own: Vec<String> = own.iter().copied().chain([env!("CARGO_CRATE_NAME")]).map(String::from).collect();
    let subscriber = tracing_subscriber::registry().with(targets(level, &own)).with(HclogLayer { own, ..layer() });
    let _ = tracing::subscriber::set_global_default(subscriber);
    if log::set_boxed_logger(Box::new(Facade)).is_ok() {
        log::set_max_level(match level.into_level() {
            None => log::LevelFilter::Off,
            Some(Level::ERROR) => log::LevelFilter::Error,
            Some(Level::WARN) => log::LevelFilter::Warn,
            Some(Level::INFO) => log::LevelFilter::Info,
            Some(Level::DEBUG) => log::LevelFilter::Debug,
            Some(Level::TRACE) => log::LevelFilter::Trace,
        });
    }
    std::panic::set_hook(Box::new(|panic| {
        let at = panic.location().map(ToString::to_string).unwrap_or_default();
        let thread = std::thread::current();
        let thread = thread.name().unwrap_or("unnamed");
        tracing::error!(at, thread, "panic: {}", panic_text(panic.payload()));
    }));
}

/// The events that are written at a level. Those of libraries are switched off where they are made: some log in their inner loops.
fn targets(level: LevelFilter, own: &[String]) -> Targets {
    let of_libraries = if level == LevelFilter::INFO { LevelFilter::WARN } else { level };
    Targets::new().with_default(of_libraries).with_targets(own.iter().map(|own| (own.clone(), level)))
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
    use std::sync::{Arc, Mutex};

    use log::Log;
    use serde_json::{Map, Value};
    use tracing::{debug, error, info, info_span, warn};

    use super::*;

    /// The lines of what `task` logs at this level or above, in a plugin of this crate.
    fn logged(level: LevelFilter, task: impl FnOnce()) -> Vec<Map<String, Value>> {
        let text = Arc::new(Mutex::new(String::new()));
        let kept = text.clone();
        let own = vec![crate_of(module_path!()).to_string()];
        let targets = targets(level, &own);
        let layer = HclogLayer { write: Box::new(move |line| kept.lock().unwrap().push_str(line)), own };
        tracing::subscriber::with_default(tracing_subscriber::registry().with(targets).with(layer), task);
        let text = text.lock().unwrap();
        text.lines()
            .map(|line| {
                assert!(line.len() < 64 << 10, "the host would cut a line of {} bytes", line.len());
                serde_json::from_str(line).expect("a line is one JSON object")
            })
            .collect()
    }

    #[test]
    fn an_event_is_what_hclog_parses_and_its_fields_keep_their_types() {
        let lines = logged(LevelFilter::INFO, || {
            warn!(height = 7, ratio = 0.5, empty = true, class = "0x1", cause = %"text", list = ?[1], "two\nlines {}", 1);
        });
        let [line] = &lines[..] else { panic!("{lines:?}") };
        let mut line = line.clone();
        let at = line.remove("@timestamp").unwrap();
        assert_eq!(at.as_str().map(str::len), Some("2024-02-29T12:34:56.001234Z".len()));
        assert_eq!(
            Value::Object(line),
            serde_json::json!({
                "@level": "warn", "@message": "two\nlines 1", "@module": module_path!(),
                "height": 7, "ratio": 0.5, "empty": true, "class": "0x1", "cause": "text", "list": "[1]",
            })
        );
    }

    #[test]
    fn fields_of_spans_are_written_and_the_inner_one_wins() {
        let lines = logged(LevelFilter::INFO, || {
            let outer = info_span!("block", height = 7, n = 1, late = tracing::field::Empty);
            outer.record("late", "set");
            let _outer = outer.entered();
            let _inner = info_span!("transaction", n = 2).entered();
            info!(own = true, "ran");
            info!(n = 3, "again");
        });
        let fields = |index: usize| ["span", "height", "n", "late", "own"].map(|name| lines[index].get(name).cloned());
        let text = |text: &str| Some(Value::from(text));
        assert_eq!(
            fields(0),
            [text("block:transaction"), Some(7.into()), Some(2.into()), text("set"), Some(true.into())]
        );
        assert_eq!(fields(1), [text("block:transaction"), Some(7.into()), Some(3.into()), text("set"), None]);
    }

    #[test]
    fn events_below_the_level_are_not_written() {
        let lines = logged(LevelFilter::INFO, || {
            debug!("a detail");
            error!("a fault");
        });
        let messages: Vec<_> = lines.iter().map(|line| line["@message"].clone()).collect();
        assert_eq!(messages, ["a fault"]);
        assert!(logged(LevelFilter::OFF, || error!("a fault")).is_empty());
    }

    #[test]
    fn numbers_that_a_double_cannot_hold_are_text() {
        let lines = logged(LevelFilter::INFO, || {
            info!(small = 1_u64 << 53, large = u64::MAX, low = i64::MIN, none = f64::NAN, "numbers");
        });
        let line = &lines[0];
        assert_eq!(line["small"], 1_u64 << 53);
        assert_eq!((&line["large"], &line["low"]), (&u64::MAX.to_string().into(), &i64::MIN.to_string().into()));
        assert_eq!(line["none"], "NaN");
    }

    #[test]
    fn the_keys_of_hclog_cannot_be_overwritten() {
        let lines = logged(LevelFilter::INFO, || {
            info!({ "@level" } = "error", { "@module" } = "x", "text");
        });
        assert_eq!((&lines[0]["@level"], &lines[0]["@module"]), (&"info".into(), &module_path!().into()));
    }

    #[test]
    fn long_texts_and_many_fields_stay_below_the_hosts_line_buffer() {
        for unit in ["ä", "\u{1}", "\"", "x"] {
            let long = unit.repeat(100_000);
            let lines = logged(LevelFilter::INFO, || {
                let _span = info_span!("s", s1 = long, s2 = long, s3 = long, s4 = long, s5 = long, s6 = long).entered();
                info!(
                    a = long,
                    b = long,
                    c = long,
                    d = long,
                    e = long,
                    f = long,
                    g = long,
                    h = long,
                    i = long,
                    j = long,
                    k = long,
                    l = long,
                    m = long,
                    "{long}"
                );
                info!(one = long, "short");
            });
            assert_eq!(lines.len(), 2, "{unit:?}");
            assert!(lines[0]["@message"].as_str().unwrap().ends_with("bytes more)"));
            assert_eq!(lines[0]["fields_dropped"], 4, "13 fields, 6 of the span and its name: 16 are written");
        }
    }

    #[test]
    fn info_of_a_library_that_traces_is_debug() {
        let levels = |level| {
            let lines = logged(level, || {
                info!(target: "library::inner", "its own state");
                warn!(target: "library::inner", "a fault");
                info!("ours");
            });
            lines.iter().map(|line| line["@level"].as_str().unwrap().to_string()).collect::<Vec<_>>()
        };
        assert_eq!(levels(LevelFilter::INFO), ["warn", "info"]);
        assert_eq!(levels(LevelFilter::DEBUG), ["debug", "warn", "info"]);
    }

    #[test]
    fn info_of_a_library_that_uses_log_is_debug() {
        let enabled = |level| {
            let metadata = log::Metadata::builder().level(level).target("library").build();
            Facade.enabled(&metadata)
        };
        log::set_max_level(log::LevelFilter::Info);
        assert!(enabled(log::Level::Warn) && !enabled(log::Level::Info));
        log::set_max_level(log::LevelFilter::Debug);
        assert!(enabled(log::Level::Info) && !enabled(log::Level::Trace));
    }
}
