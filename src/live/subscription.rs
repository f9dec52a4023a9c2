//! What a viewer wants to see, in one spelling: equal subscriptions share their frames.

use super::cursor::{Cursor, CursorError};
use crate::aggregate::Windows;
use crate::model::Reach;
use globset::{Glob, GlobSet, GlobSetBuilder};
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;

/// The most globs of a kind, and the most tags.
const PATTERNS_MAX: usize = 32;
/// The longest glob, tag key or tag value, in bytes.
const PATTERN_BYTES_MAX: usize = 255;
/// The rarest that frames can be asked for, and the most often.
const HZ: std::ops::RangeInclusive<f64> = 0.01..=1000.0;
/// The fewest rollups that a frame can be limited to: below, the frames cost more than what they hold.
const POINTS: std::ops::RangeInclusive<usize> = 100..=1_000_000;

/// How frames are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Form {
    /// JSON, for browsers and whoever reads along.
    #[default]
    Json,
    /// `proto/tidegate/v1/live.proto`, for programs.
    Protobuf,
}

/// Which series, and in windows of which width. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Subscription {
    inner: Arc<Inner>,
}

#[derive(Debug, Clone)]
struct Inner {
    /// Sorted; empty = all.
    devices: Vec<String>,
    /// Sorted; empty = all.
    metrics: Vec<String>,
    /// Sorted by key; all must be there.
    tags: Vec<(String, String)>,
    level: usize,
    /// Frames come at most so often; zero = as they are.
    interval: Duration,
    /// The most rollups in a frame.
    points_max: Option<usize>,
    form: Form,
    /// The devices that its viewer may see.
    reach: Reach,
    device_globs: GlobSet,
    metric_globs: GlobSet,
}

/// Why a subscription can't be had. For the viewer to mend.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SubscriptionError {
    /// A glob is malformed.
    #[error("`{glob}` is not a glob: {cause}")]
    Glob {
        /// The text.
        glob: String,
        /// What is wrong with it.
        cause: globset::ErrorKind,
    },
    /// A glob, tag key or tag value is too long.
    #[error("a pattern or tag has {bytes} bytes, {PATTERN_BYTES_MAX} are allowed")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// Too many globs of a kind, or too many tags.
    #[error("{count} patterns or tags are given, {PATTERNS_MAX} are allowed")]
    TooMany {
        /// How many.
        count: usize,
    },
    /// No windows of this width are folded.
    #[error("there is no window `{window}`, only {known}")]
    Window {
        /// What was asked for.
        window: String,
        /// What there is.
        known: String,
    },
    /// Not a pace at which frames can come.
    #[error("max_hz is a number from {} to {}", HZ.start(), HZ.end())]
    Pace,
    /// Not a number of rollups that frames can be limited to.
    #[error("max_points is a whole number from {} to {}", POINTS.start(), POINTS.end())]
    Points,
    /// Not a time to wait.
    #[error("wait_s is a whole number of seconds up to {max}")]
    Wait {
        /// The most seconds.
        max: u64,
    },
    /// A parameter of the query that means nothing here.
    #[error("unknown parameter `{name}`")]
    Parameter {
        /// Its name, at most 32 characters of it.
        name: String,
    },
    /// A parameter that can only be given once was given again.
    #[error("parameter `{name}` is given more than once")]
    Repeated {
        /// Its name.
        name: &'static str,
    },
    /// The query is not percent-encoded UTF-8.
    #[error("the query is not percent-encoded UTF-8")]
    Encoding,
    /// The cursor is none.
    #[error(transparent)]
    Cursor(#[from] CursorError),
}

impl Subscription {
    /// A subscription to the series whose device matches any of `devices`, whose metric any of
    /// `metrics` (none given = all) and that have all the `tags`; in windows of width `window` (none
    /// given = the finest).
    ///
    /// # Errors
    /// [`SubscriptionError`] says what can't be had.
    pub fn new(
        devices: Vec<String>,
        metrics: Vec<String>,
        tags: Vec<(String, String)>,
        window: Option<&str>,
        windows: &Windows,
    ) -> Result<Subscription, SubscriptionError> {
        let level = match window {
            None => 0,
            Some(window) => parse_window(window)
                .and_then(|width| windows.level_of(width))
                .ok_or_else(|| unknown_window(window, windows))?,
        };
        let devices = canonical(devices)?;
        let metrics = canonical(metrics)?;
        let (device_globs, metric_globs) = (compile(&devices)?, compile(&metrics)?);
        check_count(tags.len())?;
        for (key, value) in &tags {
            check_length(key)?;
            check_length(value)?;
        }
        let mut tags = tags;
        tags.sort_unstable();
        tags.dedup();
        let inner = Inner {
            devices,
            metrics,
            tags,
            level,
            interval: Duration::ZERO,
            points_max: None,
            form: Form::Json,
            reach: Reach::all(),
            device_globs,
            metric_globs,
        };
        Ok(Subscription { inner: Arc::new(inner) })
    }

    /// The same in frames that come at most `max_hz` times a second, each with what happened since the
    /// one before, and that hold at most `max_points` rollups each; what is beyond comes in further
    /// frames. None given = no limit.
    ///
    /// # Errors
    /// [`SubscriptionError`], if a number is out of its range.
    pub fn limited(
        mut self,
        max_hz: Option<f64>,
        max_points: Option<usize>,
    ) -> Result<Subscription, SubscriptionError> {
        let inner = Arc::make_mut(&mut self.inner);
        if let Some(max_hz) = max_hz {
            if !HZ.contains(&max_hz) {
                return Err(SubscriptionError::Pace);
            }
            inner.interval = Duration::from_millis((1000.0 / max_hz).ceil() as u64);
        }
        if max_points.is_some_and(|points| !POINTS.contains(&points)) {
            return Err(SubscriptionError::Points);
        }
        inner.points_max = max_points;
        Ok(self)
    }

    /// The same, written in another form.
    #[must_use]
    pub fn written_in(mut self, form: Form) -> Subscription {
        Arc::make_mut(&mut self.inner).form = form;
        self
    }

    /// The same for a viewer who may see these devices only.
    #[must_use]
    pub fn within(mut self, reach: &Reach) -> Subscription {
        if !reach.is_all() {
            Arc::make_mut(&mut self.inner).reach = reach.clone();
        }
        self
    }

    /// How its frames are written.
    #[must_use]
    pub fn form(&self) -> Form {
        self.inner.form
    }

    /// The devices that its viewers may see.
    pub(super) fn reach(&self) -> &Reach {
        &self.inner.reach
    }

    pub(super) fn points_max(&self) -> usize {
        self.inner.points_max.unwrap_or(usize::MAX)
    }

    /// In how many ticks one frame may come.
    pub(super) fn beat(&self, tick: Duration) -> u64 {
        let (interval, tick) = (self.inner.interval.as_millis(), tick.as_millis().max(1));
        u64::try_from(interval.div_ceil(tick)).unwrap_or(u64::MAX).max(1)
    }

    /// The level of its windows.
    #[must_use]
    pub fn level(&self) -> usize {
        self.inner.level
    }

    pub(super) fn all_metrics(&self) -> bool {
        self.inner.metrics.is_empty()
    }

    pub(super) fn all_tables(&self) -> bool {
        self.inner.devices.is_empty() && self.inner.tags.is_empty() && self.inner.reach.is_all()
    }

    pub(super) fn any_tags(&self) -> bool {
        self.inner.tags.is_empty()
    }

    pub(super) fn wants_device(&self, device: &str) -> bool {
        (self.inner.devices.is_empty() || self.inner.device_globs.is_match(device))
            && self.inner.reach.allows(device)
    }

    pub(super) fn wants_metric(&self, metric: &str) -> bool {
        self.inner.metrics.is_empty() || self.inner.metric_globs.is_match(metric)
    }

    pub(super) fn wants_tags<'a>(
        &self,
        tags: impl Iterator<Item = (&'a str, &'a str)> + Clone,
    ) -> bool {
        let mut wanted = self.inner.tags.iter();
        wanted.all(|(key, value)| tags.clone().any(|(k, v)| (k, v) == (key, value)))
    }
}

impl PartialEq for Subscription {
    fn eq(&self, other: &Subscription) -> bool {
        self.inner.key() == other.inner.key()
    }
}

impl Eq for Subscription {}

impl Inner {
    /// What makes two the same: all but what follows from it.
    fn key(&self) -> impl PartialEq + Hash {
        let lists = (&self.devices, &self.metrics, &self.tags);
        (lists, self.level, self.interval, self.points_max, self.form, &self.reach)
    }
}

impl Hash for Subscription {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.inner.key().hash(state);
    }
}

/// A subscription and where to resume it, as the query of an address tells them.
#[derive(Debug, Clone, PartialEq)]
pub struct LiveQuery {
    /// What is wanted.
    pub subscription: Subscription,
    /// What is known already.
    pub cursor: Option<Cursor>,
}

impl LiveQuery {
    /// Reads `device=pump-*&metric=motor.*&window=1s&tag.site=a&max_hz=1&max_points=500&cursor=1f-42`;
    /// `access_token` is passed over, as it is read elsewhere.
    ///
    /// # Errors
    /// [`SubscriptionError`]; nothing is guessed.
    pub fn parse(query: &str, windows: &Windows) -> Result<LiveQuery, SubscriptionError> {
        let (mut devices, mut metrics, mut tags) = (Vec::new(), Vec::new(), Vec::new());
        let (mut window, mut cursor, mut max_hz, mut max_points) = (None, None, None, None);
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (name, value) = (decode(name)?, decode(value)?);
            match name.as_str() {
                "device" => devices.push(value),
                "metric" => metrics.push(value),
                "window" => once("window", &mut window, value)?,
                "cursor" => once("cursor", &mut cursor, value.parse()?)?,
                "max_hz" => {
                    let hz = value.parse().map_err(|_| SubscriptionError::Pace)?;
                    once("max_hz", &mut max_hz, hz)?;
                }
                "max_points" => {
                    let points = value.parse().map_err(|_| SubscriptionError::Points)?;
                    once("max_points", &mut max_points, points)?;
                }
                "access_token" => {}
                _ => match name.strip_prefix("tag.") {
                    Some(key) if !key.is_empty() => tags.push((key.to_owned(), value)),
                    _ => {
                        let name = name.chars().take(32).collect();
                        return Err(SubscriptionError::Parameter { name });
                    }
                },
            }
        }
        let subscription = Subscription::new(devices, metrics, tags, window.as_deref(), windows)?
            .limited(max_hz, max_points)?;
        Ok(LiveQuery { subscription, cursor })
    }
}

fn once<T>(name: &'static str, slot: &mut Option<T>, value: T) -> Result<(), SubscriptionError> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(SubscriptionError::Repeated { name }),
    }
}

/// Sorted, each once; a lone `*` says no more than nothing does.
fn canonical(mut globs: Vec<String>) -> Result<Vec<String>, SubscriptionError> {
    check_count(globs.len())?;
    globs.iter().try_for_each(|glob| check_length(glob))?;
    if globs.iter().any(|glob| glob == "*") {
        globs.clear();
    }
    globs.sort_unstable();
    globs.dedup();
    Ok(globs)
}

fn check_count(count: usize) -> Result<(), SubscriptionError> {
    if count > PATTERNS_MAX { Err(SubscriptionError::TooMany { count }) } else { Ok(()) }
}

fn check_length(text: &str) -> Result<(), SubscriptionError> {
    let bytes = text.len();
    if bytes > PATTERN_BYTES_MAX { Err(SubscriptionError::TooLong { bytes }) } else { Ok(()) }
}

fn compile(globs: &[String]) -> Result<GlobSet, SubscriptionError> {
    let bad = |glob: &str, cause: &globset::Error| SubscriptionError::Glob {
        glob: glob.to_owned(),
        cause: cause.kind().clone(),
    };
    let mut builder = GlobSetBuilder::new();
    for glob in globs {
        builder.add(Glob::new(glob).map_err(|cause| bad(glob, &cause))?);
    }
    builder.build().map_err(|cause| bad(cause.glob().unwrap_or_default(), &cause))
}

/// Units of widths of windows, in milliseconds.
const UNITS: [(&str, u64); 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

fn parse_window(text: &str) -> Option<Duration> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let (_, millis) = UNITS.iter().find(|(name, _)| *name == unit)?;
    Some(Duration::from_millis(number.parse::<u64>().ok()?.checked_mul(*millis)?))
}

/// How a level's windows are called: `250ms`, `10s`, `1m`.
#[must_use]
pub fn window_name(windows: &Windows, level: usize) -> String {
    let millis = windows.width(level).unsigned_abs() / 1_000_000;
    let unit = UNITS.iter().find(|(_, unit)| millis.is_multiple_of(*unit));
    let (name, unit) = unit.copied().unwrap_or(("ms", 1));
    format!("{}{name}", millis / unit)
}

fn unknown_window(window: &str, windows: &Windows) -> SubscriptionError {
    let known: Vec<_> = (0..windows.levels()).map(|level| window_name(windows, level)).collect();
    SubscriptionError::Window { window: window.chars().take(32).collect(), known: known.join(", ") }
}

/// Undoes the encoding of `application/x-www-form-urlencoded`.
fn decode(text: &str) -> Result<String, SubscriptionError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let (code, tail) = rest.split_at_checked(2).ok_or(SubscriptionError::Encoding)?;
                rest = tail;
                hex(code).ok_or(SubscriptionError::Encoding)?
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).map_err(|_| SubscriptionError::Encoding)
}

fn hex(code: &[u8]) -> Option<u8> {
    code.iter().try_fold(0_u8, |value, &digit| {
        let digit = char::from(digit).to_digit(16)?;
        Some(value * 16 + digit as u8)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Position;

    fn parse(query: &str) -> Result<LiveQuery, SubscriptionError> {
        LiveQuery::parse(query, &Windows::default())
    }

    #[test]
    fn a_query_says_what_is_wanted() {
        let query =
            parse("device=pump-*&metric=motor.%2A&tag.site=a%20b&window=10s&cursor=1f-42").unwrap();
        let wanted = &query.subscription;
        assert!(wanted.wants_device("pump-7") && !wanted.wants_device("boiler"));
        assert!(wanted.wants_metric("motor.temperature") && !wanted.wants_metric("motor"));
        assert!(wanted.wants_tags([("area", "x"), ("site", "a b")].into_iter()));
        assert!(!wanted.wants_tags([("site", "a")].into_iter()));
        assert_eq!(wanted.level(), 1);
        assert_eq!(query.cursor, Some(Cursor::new(0x1f, Position(42))));
    }

    #[test]
    fn equal_wishes_are_one_subscription() {
        let same =
            |a, b| assert_eq!(parse(a).unwrap().subscription, parse(b).unwrap().subscription);
        same("device=a&device=b", "device=b&device=a&device=b");
        same("", "device=*&metric=*&window=1s&access_token=x");
        same("tag.x=1&tag.y=2&window=1m", "window=60s&tag.y=2&tag.x=1");
        same("max_hz=2", "max_hz=2.0");
        for other in ["window=10s", "max_hz=2", "max_points=100"] {
            assert_ne!(parse("").unwrap().subscription, parse(other).unwrap().subscription);
        }
        let plain = parse("").unwrap().subscription;
        assert_ne!(plain.clone().written_in(Form::Protobuf), plain);
    }

    #[test]
    fn a_pace_is_a_number_of_ticks() {
        let beat =
            |query: &str| parse(query).unwrap().subscription.beat(Duration::from_millis(250));
        assert_eq!(beat(""), 1);
        assert_eq!(beat("max_hz=100"), 1);
        assert_eq!(beat("max_hz=4"), 1);
        assert_eq!(beat("max_hz=3"), 2, "never more often");
        assert_eq!(beat("max_hz=0.5"), 8);
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        let check = |query: &str| parse(query).unwrap_err().to_string();
        assert!(check("device=[").contains("`[` is not a glob"), "{}", check("device=["));
        assert_eq!(check("window=2s"), "there is no window `2s`, only 1s, 10s, 1m");
        assert_eq!(check("window=99999999999999999999h").split(',').count(), 4);
        assert_eq!(check("devise=a"), "unknown parameter `devise`");
        for bad in ["max_hz=x", "max_hz=0", "max_hz=-1", "max_hz=NaN", "max_hz=inf"] {
            assert_eq!(check(bad), "max_hz is a number from 0.01 to 1000");
        }
        for bad in ["max_points=99", "max_points=-1", "max_points=1e3"] {
            assert_eq!(check(bad), "max_points is a whole number from 100 to 1000000");
        }
        assert_eq!(check("tag.=a"), "unknown parameter `tag.`");
        assert_eq!(check("window=1s&window=1s"), "parameter `window` is given more than once");
        assert_eq!(check("device=%f"), "the query is not percent-encoded UTF-8");
        assert_eq!(check("device=%ff"), "the query is not percent-encoded UTF-8");
        assert!(check("cursor=x").contains("epoch-offset"));
        assert!(check(&format!("device={}", "x".repeat(256))).contains("256 bytes"));
        assert!(check(&"device=x&".repeat(33)).contains("33 patterns"));
    }
}
