//! PromQL, the part of it that charts of device metrics need: text to a checked expression, and its
//! evaluation over whatever yields samples. Pure: told the times, knows no clock, no files, no sockets.
//!
//! The meaning of everything is that of Prometheus 3: ranges are open at their left end, names can be
//! quoted, `.` in a regular expression matches a line feed. What is not here is refused by name.
//!
//! The text comes from outside. It is read by a parser of our own, which bounds what it builds: length,
//! depth, regular expressions and their size (see [`parse`]). The evaluation bounds samples, cells and
//! lengths of labels, and asks its [`Source`] now and then whether to go on.

mod ast;
mod eval;
mod fault;
mod function;
mod labels;
mod lex;
mod matcher;
mod parse;
mod text;

pub use ast::{Expr, Kind, Selector};
pub use eval::{Answer, CELLS_MAX, EvalError, Grid, Series, Source, SourceError, Tell, evaluate};
pub use fault::Fault;
pub use labels::{DEVICE, Labels, METRIC_NAME, View};
pub use matcher::{MatchOp, Matcher};
pub use parse::{TEXT_BYTES_MAX, parse, parse_duration, parse_selector};
pub use text::{number_text, seconds_text};
