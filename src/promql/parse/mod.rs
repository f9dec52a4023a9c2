//! Text to a checked expression.
//!
//! A recursive descent that counts how deep it is, and how deep what it has made is: an expression of
//! [`DEPTH_MAX`] levels at most, so that whoever walks it needs no care of their stack. The time it takes
//! is linear in the text, but for the regular expressions, whose number and size are bounded.

mod call;
mod series;

use super::ast::{Binary, BinaryOp, Expr, Grouping, Kind, Many, Matching, Selector};
use super::fault::Fault;
use super::lex::{self, Token, Word};
use crate::model::NANOS_PER_SECOND;

/// The length of a text.
pub const TEXT_BYTES_MAX: usize = 16 * 1024;
/// Levels of an expression: brackets in brackets, operators after operators.
const DEPTH_MAX: usize = 100;

/// Reads an expression.
///
/// # Errors
/// It is none, or more than is here; the sentence says what and where.
pub fn parse(text: &str) -> Result<Expr, Fault> {
    let mut parser = Parser::new(text)?;
    let made = parser.expression(0)?;
    parser.end()?;
    Ok(made.expr)
}

/// Reads a selector of series, as `match[]` has it.
///
/// # Errors
/// It is none.
pub fn parse_selector(text: &str) -> Result<Selector, Fault> {
    let mut parser = Parser::new(text)?;
    let selector = parser.selector()?;
    parser.end()?;
    Ok(selector)
}

/// A duration like `1h30m`, or seconds; nanoseconds.
#[must_use]
pub fn parse_duration(text: &str) -> Option<i64> {
    lex::duration(text).or_else(|| nanos(text.parse().ok()?))
}

fn nanos(seconds: f64) -> Option<i64> {
    let nanos = seconds * NANOS_PER_SECOND as f64;
    // Beyond this nobody has samples, and sums of two still fit.
    (nanos.abs() < (i64::MAX / 4) as f64).then_some(nanos.round() as i64)
}

struct Parser<'a> {
    text: &'a str,
    words: Vec<Token>,
    next: usize,
    /// How many brackets and signs we are in.
    depth: usize,
    regexes: usize,
    matchers: usize,
}

/// An expression, and how many levels it has.
struct Made {
    expr: Expr,
    depth: usize,
}

impl<'a> Parser<'a> {
    fn new(text: &'a str) -> Result<Parser<'a>, Fault> {
        if text.len() > TEXT_BYTES_MAX {
            let what = format!("the text has {} bytes, {TEXT_BYTES_MAX} are allowed", text.len());
            return Err(Fault::whole(what));
        }
        let words = lex::words(text)?;
        if words.len() == 1 {
            return Err(Fault::whole("no expression found in input"));
        }
        Ok(Parser { text, words, next: 0, depth: 0, regexes: 0, matchers: 0 })
    }

    fn word(&self) -> &Word {
        self.words.get(self.next).map_or(&Word::End, |token| &token.word)
    }

    fn following(&self) -> &Word {
        self.words.get(self.next + 1).map_or(&Word::End, |token| &token.word)
    }

    fn here(&self) -> usize {
        self.words.get(self.next).map_or(self.text.len(), |token| token.at)
    }

    fn fault<T>(&self, what: impl Into<String>) -> Result<T, Fault> {
        Err(Fault::at(self.text, self.here(), what))
    }

    fn unexpected<T>(&self, context: &str) -> Result<T, Fault> {
        self.fault(format!("unexpected {} {context}", self.word().told()))
    }

    fn take(&mut self) -> Word {
        let word = self.word().clone();
        self.next += 1;
        word
    }

    fn takes(&mut self, sign: &str) -> bool {
        let is = matches!(self.word(), Word::Sign(found) if *found == sign);
        self.next += usize::from(is);
        is
    }

    /// A sign that may be there.
    fn skip(&mut self, sign: &str) {
        self.next += usize::from(matches!(self.word(), Word::Sign(found) if *found == sign));
    }

    fn expect(&mut self, sign: &str, context: &str) -> Result<(), Fault> {
        match self.takes(sign) {
            true => Ok(()),
            false => self.unexpected(&format!("{context}, expected {sign:?}")),
        }
    }

    /// Whether the next word is that keyword; they may be spelled in capitals.
    fn is_keyword(&self, keyword: &str) -> bool {
        matches!(self.word(), Word::Name(name) if name.eq_ignore_ascii_case(keyword))
    }

    fn takes_keyword(&mut self, keyword: &str) -> bool {
        let is = self.is_keyword(keyword);
        self.next += usize::from(is);
        is
    }

    fn end(&self) -> Result<(), Fault> {
        match self.word() {
            Word::End => Ok(()),
            Word::Sign("[") => self.fault(NO_SUBQUERIES),
            _ => self.unexpected("after the expression"),
        }
    }

    /// Something one level deeper.
    fn deeper<T>(
        &mut self,
        read: impl FnOnce(&mut Parser<'a>) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        if self.depth == DEPTH_MAX {
            return self.too_deep();
        }
        self.depth += 1;
        let read = read(self);
        self.depth -= 1;
        read
    }

    fn too_deep<T>(&self) -> Result<T, Fault> {
        self.fault(format!("the expression is nested deeper than {DEPTH_MAX} levels"))
    }

    fn made(&self, expr: Expr, within: usize) -> Result<Made, Fault> {
        match within < DEPTH_MAX {
            true => Ok(Made { expr, depth: within + 1 }),
            false => self.too_deep(),
        }
    }

    /// An expression whose operators bind at least so tightly.
    fn expression(&mut self, least: u8) -> Result<Made, Fault> {
        self.deeper(|parser| {
            let mut left = parser.operand()?;
            while let Some(op) = parser.operator().filter(|op| op.level() >= least) {
                let at = parser.here();
                parser.next += 1;
                let (tells, matching) = parser.modifiers(op)?;
                // `^` binds to the right.
                let tighter = op.level() + u8::from(op != BinaryOp::Pow);
                let right = parser.expression(tighter)?;
                left = parser.binary(at, op, tells, matching, left, right)?;
            }
            Ok(left)
        })
    }

    fn operator(&self) -> Option<BinaryOp> {
        let (Word::Sign(_) | Word::Name(_)) = self.word() else { return None };
        let found = BinaryOp::ALL.iter().find(|(spelled, _)| match self.word() {
            Word::Sign(sign) => sign == spelled,
            Word::Name(name) => name.eq_ignore_ascii_case(spelled),
            _ => false,
        });
        found.map(|(_, op)| *op)
    }

    fn modifiers(&mut self, op: BinaryOp) -> Result<(bool, Option<Matching>), Fault> {
        let at = self.here();
        let tells = self.takes_keyword("bool");
        if tells && !op.is_comparison() {
            let what = "bool modifier can only be used on comparison operators";
            return Err(Fault::at(self.text, at, what));
        }
        let on = match () {
            () if self.takes_keyword("on") => Grouping::By(self.names()?),
            () if self.takes_keyword("ignoring") => Grouping::Without(self.names()?),
            () => return Ok((tells, None)),
        };
        let at = self.here();
        let many = match () {
            () if self.takes_keyword("group_left") => Many::Left,
            () if self.takes_keyword("group_right") => Many::Right,
            () => Many::Neither,
        };
        let has_names = many != Many::Neither && matches!(self.word(), Word::Sign("("));
        let include = if has_names { self.names()? } else { Vec::new() };
        if many != Many::Neither && op.is_of_sets() {
            let what = "no grouping allowed for set operations";
            return Err(Fault::at(self.text, at, what));
        }
        if let Grouping::By(on) = &on
            && let Some(twice) = include.iter().find(|name| on.contains(name))
        {
            let what = format!("label {twice:?} must not occur in ON and GROUP clause at once");
            return Err(Fault::at(self.text, at, what));
        }
        Ok((tells, Some(Matching { on, many, include })))
    }

    fn binary(
        &self,
        at: usize,
        op: BinaryOp,
        tells: bool,
        matching: Option<Matching>,
        left: Made,
        right: Made,
    ) -> Result<Made, Fault> {
        let fault = |what: &str| Err(Fault::at(self.text, at, what));
        let kinds = (left.expr.kind(), right.expr.kind());
        for kind in [kinds.0, kinds.1] {
            if kind != Kind::Scalar && kind != Kind::Vector {
                return fault(
                    "binary expression must contain only scalar and instant vector types",
                );
            }
        }
        let kind = match kinds {
            (Kind::Scalar, Kind::Scalar) => Kind::Scalar,
            _ => Kind::Vector,
        };
        if op.is_of_sets() && kinds != (Kind::Vector, Kind::Vector) {
            return fault("set operators not allowed in binary scalar expression");
        }
        if op.is_comparison() && kind == Kind::Scalar && !tells {
            return fault("comparisons between scalars must use BOOL modifier");
        }
        if matching.is_some() && kinds != (Kind::Vector, Kind::Vector) {
            return fault("vector matching only allowed between instant vectors");
        }
        let none = || Matching {
            on: Grouping::Without(Vec::new()),
            many: Many::Neither,
            include: Vec::new(),
        };
        let matching = matching.unwrap_or_else(none);
        let within = left.depth.max(right.depth);
        let (left, right) = (left.expr, right.expr);
        let binary = Binary { op, tells, left, right, matching, kind };
        self.made(Expr::Binary(Box::new(binary)), within)
    }

    /// What stands between operators.
    fn operand(&mut self) -> Result<Made, Fault> {
        let at = self.here();
        if self.takes("+") || self.takes("-") {
            let negative = matches!(self.words[self.next - 1].word, Word::Sign("-"));
            // A sign binds as `*` does: -1^2 is -(1^2).
            let of = self.expression(BinaryOp::Pow.level())?;
            if !matches!(of.expr.kind(), Kind::Scalar | Kind::Vector) {
                let what = format!(
                    "unary expression only allowed on expressions of type scalar or instant vector, got {}",
                    of.expr.kind().name()
                );
                return Err(Fault::at(self.text, at, what));
            }
            return match (of.expr, negative) {
                (Expr::Number(number), true) => self.made(Expr::Number(-number), 0),
                (expr, true) => self.made(Expr::Negate(Box::new(expr)), of.depth),
                (expr, false) => Ok(Made { expr, depth: of.depth }),
            };
        }
        match self.word().clone() {
            Word::Number(number) => {
                self.next += 1;
                self.made(Expr::Number(number), 0)
            }
            Word::Text(text) => {
                self.next += 1;
                self.made(Expr::Text(text), 0)
            }
            Word::Sign("(") => {
                self.next += 1;
                let inside = self.expression(0)?;
                self.expect(")", "in parenthesised expression")?;
                self.no_selector_suffix()?;
                Ok(inside)
            }
            Word::Sign("{") => self.series(),
            Word::Name(name) => self.named(&name),
            _ => self.unexpected("where an expression is expected"),
        }
    }

    fn no_selector_suffix(&self) -> Result<(), Fault> {
        match self.word() {
            Word::Sign("[") => self.fault(NO_SUBQUERIES),
            Word::Sign("@") => self.fault("@ modifier must be preceded by a selector"),
            _ if self.is_keyword("offset") => {
                self.fault("offset modifier must be preceded by a selector")
            }
            _ => Ok(()),
        }
    }
}

const NO_SUBQUERIES: &str = "subqueries (a range of an expression, or with a step) are not available here; ranges are of selectors";

#[cfg(test)]
mod tests;
