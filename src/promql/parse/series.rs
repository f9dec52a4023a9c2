//! Selectors of series, with what stands after them.

use super::super::ast::{At, Expr, Selector};
use super::super::fault::Fault;
use super::super::labels::METRIC_NAME;
use super::super::lex::Word;
use super::super::matcher::{MatchOp, Matcher, anchored};
use super::{Made, NO_SUBQUERIES, Parser, nanos};

/// Regular expressions in a text: each takes a while to compile, and memory.
const REGEXES_MAX: usize = 20;
/// Matchers in a text: each is looked at for each series.
const MATCHERS_MAX: usize = 200;

impl Parser<'_> {
    /// A selector with a range, or without.
    pub(super) fn series(&mut self) -> Result<Made, Fault> {
        let mut selector = self.selector()?;
        let mut range = None;
        if self.takes("[") {
            range = Some(self.duration("in range selector")?);
            if matches!(self.word(), Word::Sign(":")) {
                return self.fault(NO_SUBQUERIES);
            }
            self.expect("]", "in range selector")?;
            if range.is_some_and(|range| range <= 0) {
                return self.fault("duration must be greater than 0");
            }
        }
        let (mut has_offset, mut has_at) = (false, false);
        loop {
            if self.is_keyword("offset") {
                self.next += 1;
                let sign = if self.takes("-") { -1 } else { 1 };
                if sign == 1 {
                    self.skip("+");
                }
                selector.offset = sign * self.duration("in offset")?;
                if std::mem::replace(&mut has_offset, true) {
                    return self.fault("offset may not be set multiple times");
                }
            } else if self.takes("@") {
                selector.at = Some(self.at()?);
                if std::mem::replace(&mut has_at, true) {
                    return self.fault("@ <timestamp> may not be set multiple times");
                }
            } else {
                break;
            }
        }
        if matches!(self.word(), Word::Sign("[")) {
            return self.fault("no offset or @ modifiers allowed before range");
        }
        match range {
            None => self.made(Expr::Latest(selector), 0),
            Some(range) => self.made(Expr::Range(selector, range), 0),
        }
    }

    fn at(&mut self) -> Result<At, Fault> {
        let negative = self.takes("-");
        let positive = !negative && self.takes("+");
        let wrong = "in @, expected timestamp, start() or end()";
        match self.word().clone() {
            Word::Number(seconds) => {
                let seconds = if negative { -seconds } else { seconds };
                let Some(time) = nanos((seconds * 1000.0).round() / 1000.0) else {
                    return self.fault("timestamp out of bounds for @ modifier");
                };
                self.next += 1;
                Ok(At::Time(time))
            }
            Word::Name(name) if !negative && !positive && ["start", "end"].contains(&&*name) => {
                self.next += 1;
                self.expect("(", "in @")?;
                self.expect(")", "in @")?;
                Ok(if name == "start" { At::Start } else { At::End })
            }
            _ => self.unexpected(wrong),
        }
    }

    fn duration(&mut self, context: &str) -> Result<i64, Fault> {
        let found = match *self.word() {
            Word::Duration(nanos) => Some(nanos),
            Word::Number(seconds) => nanos(seconds),
            _ => return self.unexpected(&format!("{context}, expected duration")),
        };
        // Beyond that nobody has samples, and the sum of two still fits.
        match found.filter(|nanos| *nanos < i64::MAX / 4) {
            Some(nanos) => {
                self.next += 1;
                Ok(nanos)
            }
            None => self.fault("duration out of range"),
        }
    }

    /// Which series.
    pub(super) fn selector(&mut self) -> Result<Selector, Fault> {
        let at = self.here();
        let mut matchers = Vec::new();
        if let Word::Name(name) = self.word() {
            matchers.push(Matcher::equal(METRIC_NAME, name.clone()));
            self.next += 1;
        }
        if self.takes("{") {
            while !self.takes("}") {
                let at = self.here();
                let matcher = self.matcher()?;
                let named = |matcher: &Matcher| matcher.name == METRIC_NAME;
                if named(&matcher)
                    && matches!(matcher.op, MatchOp::Equal)
                    && matchers.iter().any(named)
                {
                    let what = "metric name must not be set twice";
                    return Err(Fault::at(self.text, at, what));
                }
                matchers.push(matcher);
                if !self.takes(",") {
                    self.expect("}", "in label matching")?;
                    break;
                }
            }
        } else if matchers.is_empty() {
            return self.unexpected("where a selector of series is expected");
        }
        if matchers.iter().all(|matcher| matcher.fits("")) {
            let what = "vector selector must contain at least one non-empty matcher";
            return Err(Fault::at(self.text, at, what));
        }
        Ok(Selector { matchers, offset: 0, at: None })
    }

    fn matcher(&mut self) -> Result<Matcher, Fault> {
        self.matchers += 1;
        if self.matchers > MATCHERS_MAX {
            return self.fault(format!("more than {MATCHERS_MAX} matchers of labels"));
        }
        let quoted = matches!(self.word(), Word::Text(_));
        let name = match self.take() {
            Word::Text(name) => name,
            Word::Name(name) if !name.contains(':') => name,
            _ => {
                self.next -= 1;
                return self.unexpected("in label matching, expected label name");
            }
        };
        if quoted && matches!(self.word(), Word::Sign("," | "}")) {
            return Ok(Matcher::equal(METRIC_NAME, name));
        }
        let Word::Sign(sign @ ("=" | "!=" | "=~" | "!~")) = *self.word() else {
            return self.unexpected("in label matching, expected one of = != =~ !~");
        };
        self.next += 1;
        let Word::Text(value) = self.word().clone() else {
            return self.unexpected("in label matching, expected string");
        };
        let op = match sign {
            "=" => MatchOp::Equal,
            "!=" => MatchOp::NotEqual,
            "=~" => MatchOp::Regex(self.regex(&value)?),
            _ => MatchOp::NotRegex(self.regex(&value)?),
        };
        self.next += 1;
        Ok(Matcher { name, op, value })
    }

    fn regex(&mut self, pattern: &str) -> Result<regex::Regex, Fault> {
        self.regexes += 1;
        if self.regexes > REGEXES_MAX {
            return self.fault(format!("more than {REGEXES_MAX} regular expressions"));
        }
        anchored(pattern).or_else(|error| match error {
            regex::Error::CompiledTooBig(bytes) => {
                self.fault(format!("a regular expression is larger than {bytes} bytes"))
            }
            _ => self.fault(format!("{pattern:?} is no regular expression that is known here")),
        })
    }
}
