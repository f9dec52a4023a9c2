//! Expressions, checked: what there is can be evaluated.

use super::function::Function;
use super::labels::View;
use super::matcher::Matcher;

/// What an expression is at an instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A number.
    Scalar,
    /// A number for each of some series.
    Vector,
    /// Samples of a range for each of some series.
    Matrix,
    /// A text.
    Text,
}

impl Kind {
    /// The word for it in Prometheus' sentences.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Kind::Scalar => "scalar",
            Kind::Vector => "instant vector",
            Kind::Matrix => "range vector",
            Kind::Text => "string",
        }
    }
}

/// An expression.
#[derive(Debug, Clone)]
pub enum Expr {
    /// A number.
    Number(f64),
    /// A text.
    Text(String),
    /// The latest sample of each series.
    Latest(Selector),
    /// The samples of the last nanoseconds of each series.
    Range(Selector, i64),
    /// `-x`
    Negate(Box<Expr>),
    /// A function with what it is given.
    Call(Function, Vec<Expr>),
    /// `sum by (…) (x)` and its like.
    Aggregate(Box<Aggregate>),
    /// `a + b` and its like.
    Binary(Box<Binary>),
}

impl Expr {
    /// What it is at an instant.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Expr::Number(_) => Kind::Scalar,
            Expr::Text(_) => Kind::Text,
            Expr::Latest(_) | Expr::Aggregate(_) => Kind::Vector,
            Expr::Range(..) => Kind::Matrix,
            // No deeper than the parser lets anything be.
            Expr::Negate(of) => of.kind(),
            Expr::Call(function, _) => function.returns(),
            Expr::Binary(binary) => binary.kind,
        }
    }
}

/// Which series, and seen from when.
#[derive(Debug, Clone)]
pub struct Selector {
    /// All must be met.
    pub matchers: Vec<Matcher>,
    /// So many nanoseconds before.
    pub(super) offset: i64,
    /// Seen from here, whenever it is asked.
    pub(super) at: Option<At>,
}

impl Selector {
    /// Whether a series is meant.
    #[must_use]
    pub fn fits(&self, series: &View<'_>) -> bool {
        self.matchers.iter().all(|matcher| matcher.fits_series(series))
    }
}

/// What `@` names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum At {
    /// Nanoseconds since the epoch.
    Time(i64),
    /// The first instant that is asked for.
    Start,
    /// The last.
    End,
}

/// Which labels count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Grouping {
    /// These only.
    By(Vec<String>),
    /// All but these.
    Without(Vec<String>),
}

/// `sum by (…) (x)` and its like.
#[derive(Debug, Clone)]
pub struct Aggregate {
    pub(super) op: AggregateOp,
    pub(super) grouping: Grouping,
    /// Of `topk`, `bottomk` and `quantile`.
    pub(super) parameter: Option<Expr>,
    pub(super) of: Expr,
}

/// How the values of a group become one, or a few.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AggregateOp {
    Sum,
    Avg,
    Min,
    Max,
    Count,
    Group,
    Stddev,
    Stdvar,
    Quantile,
    Topk,
    Bottomk,
}

impl AggregateOp {
    /// All, with their names.
    pub const ALL: [(&'static str, AggregateOp); 11] = [
        ("sum", AggregateOp::Sum),
        ("avg", AggregateOp::Avg),
        ("min", AggregateOp::Min),
        ("max", AggregateOp::Max),
        ("count", AggregateOp::Count),
        ("group", AggregateOp::Group),
        ("stddev", AggregateOp::Stddev),
        ("stdvar", AggregateOp::Stdvar),
        ("quantile", AggregateOp::Quantile),
        ("topk", AggregateOp::Topk),
        ("bottomk", AggregateOp::Bottomk),
    ];

    pub fn has_parameter(self) -> bool {
        matches!(self, AggregateOp::Quantile | AggregateOp::Topk | AggregateOp::Bottomk)
    }
}

/// `a + b` and its like.
#[derive(Debug, Clone)]
pub struct Binary {
    pub(super) op: BinaryOp,
    /// `bool`: say 0 or 1 instead of leaving out what is not so.
    pub(super) tells: bool,
    pub(super) left: Expr,
    pub(super) right: Expr,
    pub(super) matching: Matching,
    pub(super) kind: Kind,
}

/// Which series of both sides belong together.
#[derive(Debug, Clone)]
pub(super) struct Matching {
    /// By which labels.
    pub on: Grouping,
    /// Which side may have several.
    pub many: Many,
    /// Labels that the many get from the one.
    pub include: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Many {
    Neither,
    Left,
    Right,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BinaryOp {
    Add,
    Sub,
    Mul,
    Div,
    Mod,
    Pow,
    Atan2,
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    And,
    Or,
    Unless,
}

impl BinaryOp {
    /// All, as they are written.
    pub const ALL: [(&'static str, BinaryOp); 16] = [
        ("+", BinaryOp::Add),
        ("-", BinaryOp::Sub),
        ("*", BinaryOp::Mul),
        ("/", BinaryOp::Div),
        ("%", BinaryOp::Mod),
        ("^", BinaryOp::Pow),
        ("atan2", BinaryOp::Atan2),
        ("==", BinaryOp::Equal),
        ("!=", BinaryOp::NotEqual),
        ("<", BinaryOp::Less),
        ("<=", BinaryOp::LessEqual),
        (">", BinaryOp::Greater),
        (">=", BinaryOp::GreaterEqual),
        ("and", BinaryOp::And),
        ("or", BinaryOp::Or),
        ("unless", BinaryOp::Unless),
    ];

    /// How tightly it binds.
    pub fn level(self) -> u8 {
        match self {
            BinaryOp::Or => 1,
            BinaryOp::And | BinaryOp::Unless => 2,
            op if op.is_comparison() => 3,
            BinaryOp::Add | BinaryOp::Sub => 4,
            BinaryOp::Pow => 6,
            _ => 5,
        }
    }

    pub fn is_comparison(self) -> bool {
        matches!(
            self,
            BinaryOp::Equal
                | BinaryOp::NotEqual
                | BinaryOp::Less
                | BinaryOp::LessEqual
                | BinaryOp::Greater
                | BinaryOp::GreaterEqual
        )
    }

    /// Of sets of series, whatever their values.
    pub fn is_of_sets(self) -> bool {
        matches!(self, BinaryOp::And | BinaryOp::Or | BinaryOp::Unless)
    }
}
