//! Any text is PromQL or is refused with a sentence: nothing panics, and what is parsed is evaluated, over no
//! series, on the stack that queries run on.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tidegate::promql::{
    EvalError, Expr, Grid, Selector, Source, SourceError, Tell, evaluate, parse, parse_duration,
    parse_selector,
};

struct Nothing;

impl Source for Nothing {
    fn select(&self, _: &Selector, _: i64, _: i64, _: Tell<'_>) -> Result<(), EvalError> {
        Ok(())
    }

    fn go_on(&self) -> Result<(), SourceError> {
        Ok(())
    }
}

fuzz_target!(|text: &str| {
    drop(parse_duration(text));
    if let Err(fault) = parse_selector(text) {
        assert!(fault.to_string().contains("parse error: "));
    }
    match parse(text) {
        Ok(expr) => {
            let grid = Grid { start: 0, step: 1_000_000_000, count: 3, end: 2_500_000_000 };
            let is_text = matches!(expr, Expr::Text(_));
            let answer = evaluate(&expr, grid, &Nothing);
            assert!(answer.is_ok() || !is_text);
        }
        Err(fault) => assert!(fault.to_string().contains("parse error: ")),
    }
});
