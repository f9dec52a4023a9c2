//! Calls of functions, and aggregations.

use super::super::ast::{Aggregate, AggregateOp, Expr, Grouping, Kind};
use super::super::fault::Fault;
use super::super::function::{self, Entry, Function};
use super::super::lex::Word;
use super::{Made, Parser};

impl Parser<'_> {
    /// What begins with a name: a call, an aggregation, a number, a selector.
    pub(super) fn named(&mut self, name: &str) -> Result<Made, Fault> {
        let is_call = matches!(self.following(), Word::Sign("("));
        let groups = |word: &Word| {
            let Word::Name(name) = word else { return false };
            ["by", "without"].iter().any(|it| name.eq_ignore_ascii_case(it))
        };
        let lower = name.to_ascii_lowercase();
        if !is_call && ["inf", "nan"].contains(&&*lower) {
            self.next += 1;
            let number = if lower == "inf" { f64::INFINITY } else { f64::NAN };
            return self.made(Expr::Number(number), 0);
        }
        if is_call || groups(self.following()) {
            if let Some((_, op)) = AggregateOp::ALL.iter().find(|(name, _)| *name == lower) {
                return self.aggregate(*op);
            }
            if ["count_values", "limitk", "limit_ratio"].contains(&&*lower) {
                let here: Vec<_> = AggregateOp::ALL.iter().map(|(name, _)| *name).collect();
                let here = here.join(", ");
                return self.fault(format!(
                    "the aggregation {lower} is not available here; these are: {here}"
                ));
            }
        }
        if !is_call {
            return self.series();
        }
        match function::find(name) {
            Ok(entry) => self.call(entry),
            Err(what) => self.fault(what),
        }
    }

    fn call(&mut self, entry: &Entry) -> Result<Made, Fault> {
        let at = self.here();
        self.next += 1;
        let (given, within) = self.arguments()?;
        let fault = |what: String| Err(Fault::at(self.text, at, what));
        let (name, many) = (entry.name, entry.function == Function::LabelJoin);
        let most = if many { usize::MAX } else { entry.takes.len() };
        if given.len() < entry.least || given.len() > most {
            let takes = entry.takes.len();
            let how = match () {
                () if given.len() < entry.least && entry.least < takes => "at least ",
                () if given.len() > most && entry.least < takes => "at most ",
                () => "",
            };
            let expected = if given.len() > most { most } else { entry.least };
            return fault(format!(
                "expected {how}{expected} argument(s) in call to {name:?}, got {}",
                given.len()
            ));
        }
        for (index, argument) in given.iter().enumerate() {
            let wanted = entry.takes.get(index).or(entry.takes.last());
            let wanted = wanted.copied().unwrap_or(Kind::Vector);
            if argument.kind() != wanted {
                return fault(format!(
                    "expected type {} in call to function {name:?}, got {}",
                    wanted.name(),
                    argument.kind().name()
                ));
            }
        }
        self.no_selector_suffix()?;
        self.made(Expr::Call(entry.function, given), within)
    }

    /// What a function is given, and how deep that is.
    fn arguments(&mut self) -> Result<(Vec<Expr>, usize), Fault> {
        self.expect("(", "in call")?;
        let (mut all, mut within) = (Vec::new(), 0);
        if self.takes(")") {
            return Ok((all, within));
        }
        loop {
            let Made { expr, depth } = self.expression(0)?;
            within = within.max(depth);
            all.push(expr);
            if self.takes(")") {
                return Ok((all, within));
            }
            self.expect(",", "in call")?;
        }
    }

    fn aggregate(&mut self, op: AggregateOp) -> Result<Made, Fault> {
        let at = self.here();
        self.next += 1;
        let before = self.grouping()?;
        let (mut given, within) = self.arguments()?;
        let grouping = match before {
            Some(grouping) => Some(grouping),
            None => self.grouping()?,
        };
        let fault = |what: String| Err(Fault::at(self.text, at, what));
        let expected = 1 + usize::from(op.has_parameter());
        if given.len() != expected {
            return fault(format!(
                "wrong number of arguments for aggregate expression provided, expected {expected}, got {}",
                given.len()
            ));
        }
        let Some(of) = given.pop() else { return fault("nothing to aggregate".to_owned()) };
        let parameter = given.pop();
        let wrong = |kind: Kind, wanted: Kind| {
            format!(
                "expected type {} in aggregation expression, got {}",
                wanted.name(),
                kind.name()
            )
        };
        if of.kind() != Kind::Vector {
            return fault(wrong(of.kind(), Kind::Vector));
        }
        if let Some(parameter) = parameter.as_ref().filter(|it| it.kind() != Kind::Scalar) {
            return fault(wrong(parameter.kind(), Kind::Scalar));
        }
        let grouping = grouping.unwrap_or(Grouping::By(Vec::new()));
        let aggregate = Aggregate { op, grouping, parameter, of };
        self.no_selector_suffix()?;
        self.made(Expr::Aggregate(Box::new(aggregate)), within)
    }

    fn grouping(&mut self) -> Result<Option<Grouping>, Fault> {
        Ok(match () {
            () if self.takes_keyword("by") => Some(Grouping::By(self.names()?)),
            () if self.takes_keyword("without") => Some(Grouping::Without(self.names()?)),
            () => None,
        })
    }

    /// Names of labels in parentheses.
    pub(super) fn names(&mut self) -> Result<Vec<String>, Fault> {
        self.expect("(", "in grouping opts")?;
        let mut all = Vec::new();
        loop {
            if self.takes(")") {
                return Ok(all);
            }
            match self.word().clone() {
                Word::Name(name) if !name.contains(':') => all.push(name),
                Word::Text(name) => all.push(name),
                _ => return self.unexpected("in grouping opts, expected label"),
            }
            self.next += 1;
            if !self.takes(",") {
                self.expect(")", "in grouping opts")?;
                return Ok(all);
            }
        }
    }
}
