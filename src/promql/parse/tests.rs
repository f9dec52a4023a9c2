use super::*;

fn fault(text: &str) -> String {
    parse(text).map(|expr| format!("{expr:?}")).unwrap_err().to_string()
}

/// An expression with parentheses around each operation.
fn shown(expr: &Expr) -> String {
    match expr {
        Expr::Number(number) => number.to_string(),
        Expr::Negate(of) => format!("(-{})", shown(of)),
        Expr::Latest(selector) => selector.matchers[0].value.clone(),
        Expr::Binary(binary) => {
            let op = BinaryOp::ALL.iter().find(|(_, op)| *op == binary.op).unwrap().0;
            format!("({} {op} {})", shown(&binary.left), shown(&binary.right))
        }
        other => format!("{other:?}"),
    }
}

#[test]
fn operators_bind_as_in_prometheus() {
    for (text, expected) in [
        ("1+2*3", "(1 + (2 * 3))"),
        ("1-2-3", "((1 - 2) - 3)"),
        ("2^3^2", "(2 ^ (3 ^ 2))"),
        ("-a^2", "(-(a ^ 2))"),
        ("-a*b", "((-a) * b)"),
        ("2^-1", "(2 ^ -1)"),
        ("-1^2", "(-(1 ^ 2))"),
        ("a or b and c", "(a or (b and c))"),
        ("a > b + 1 unless c", "((a > (b + 1)) unless c)"),
        ("a AND b", "(a and b)"),
        ("(a + b) * c", "((a + b) * c)"),
        ("a % b atan2 c", "((a % b) atan2 c)"),
        ("+-+1", "-1"),
    ] {
        assert_eq!(shown(&parse(text).unwrap()), expected, "{text}");
    }
}

#[test]
fn what_prometheus_reads_is_read() {
    for text in [
        "up",
        "up{}",
        "{__name__=~\"a.*\",}",
        "{\"motor.temperature\", device=\"pump-1\"}",
        "{\"service.name\"='x', area!=\"y\"}",
        "rate(a[5m])",
        "rate(a[5m] offset 1h @ 1700000000.5)",
        "a @ end() offset -5m",
        "a[300]",
        "job:a:rate5m",
        "sum(a)",
        "sum by (device) (a)",
        "sum(a) without (device,)",
        "SUM BY (\"service.name\") (a)",
        "topk(3, a)",
        "quantile by (x) (0.9, a)",
        "a / on(device) group_left(area) b",
        "a / ignoring(x) b",
        "a == bool 1",
        "1 == bool 2",
        "label_replace(a, \"x\", \"$1\", \"device\", \"(.*)\")",
        "label_join(a, \"x\", \"-\", \"a\", \"b\", \"c\", \"d\")",
        "round(a)",
        "round(a, 0.5)",
        "histogram_quantile(0.9, sum by (le) (rate(h_bucket[5m])))",
        "vector(time())",
        "\"text\"",
        "sum",
        "time",
        "inf + NaN",
        "a # comment",
        "absent(a{b=\"c\"})",
    ] {
        if let Err(fault) = parse(text) {
            panic!("{text}: {fault}");
        }
    }
}

#[test]
fn a_mistake_is_told_with_its_place() {
    for (text, expected) in [
        ("", "parse error: no expression found in input"),
        ("# nothing", "parse error: no expression found in input"),
        ("a +", "1:4: parse error: unexpected end of input where an expression is expected"),
        ("a\n  b", "2:3: parse error: unexpected \"b\" after the expression"),
        (
            "a{b}",
            "1:4: parse error: unexpected \"}\" in label matching, expected one of = != =~ !~",
        ),
        ("a{b=c}", "1:5: parse error: unexpected \"c\" in label matching, expected string"),
        (
            "a{b=\"c\"",
            "1:8: parse error: unexpected end of input in label matching, expected \"}\"",
        ),
        ("{}", "1:1: parse error: vector selector must contain at least one non-empty matcher"),
        (
            "{a=~\".*\"}",
            "1:1: parse error: vector selector must contain at least one non-empty matcher",
        ),
        ("a{__name__=\"b\"}", "1:3: parse error: metric name must not be set twice"),
        (
            "1 + \"a\"",
            "1:3: parse error: binary expression must contain only scalar and instant vector types",
        ),
        ("1 > 2", "1:3: parse error: comparisons between scalars must use BOOL modifier"),
        ("1 and a", "1:3: parse error: set operators not allowed in binary scalar expression"),
        ("a + bool b", "1:5: parse error: bool modifier can only be used on comparison operators"),
        ("a and on(x) group_left b", "1:13: parse error: no grouping allowed for set operations"),
        ("1 + on(x) a", "1:3: parse error: vector matching only allowed between instant vectors"),
        (
            "a + on(x) group_left(x) b",
            "1:11: parse error: label \"x\" must not occur in ON and GROUP clause at once",
        ),
        (
            "rate(a)",
            "1:1: parse error: expected type range vector in call to function \"rate\", got instant vector",
        ),
        ("rate(a[5m], 1)", "1:1: parse error: expected 1 argument(s) in call to \"rate\", got 2"),
        (
            "round()",
            "1:1: parse error: expected at least 1 argument(s) in call to \"round\", got 0",
        ),
        (
            "round(a,1,2)",
            "1:1: parse error: expected at most 2 argument(s) in call to \"round\", got 3",
        ),
        ("frobnicate(a)", "1:1: parse error: unknown function with name \"frobnicate\""),
        (
            "sum(a, b)",
            "1:1: parse error: wrong number of arguments for aggregate expression provided, expected 1, got 2",
        ),
        (
            "topk(a)",
            "1:1: parse error: wrong number of arguments for aggregate expression provided, expected 2, got 1",
        ),
        (
            "sum(1)",
            "1:1: parse error: expected type instant vector in aggregation expression, got scalar",
        ),
        ("a[0]", "1:5: parse error: duration must be greater than 0"),
        ("a[1e30]", "1:3: parse error: duration out of range"),
        ("a offset 1m offset 1m", "1:22: parse error: offset may not be set multiple times"),
        ("(a) offset 1m", "1:5: parse error: offset modifier must be preceded by a selector"),
        ("a @ 1e300", "1:5: parse error: timestamp out of bounds for @ modifier"),
        (
            "a @ ++1",
            "1:6: parse error: unexpected \"+\" in @, expected timestamp, start() or end()",
        ),
        (
            "-\"a\"",
            "1:1: parse error: unary expression only allowed on expressions of type scalar or instant vector, got string",
        ),
        ("a{b=~\"(\"}", "1:6: parse error: \"(\" is no regular expression that is known here"),
        (
            "a{b=~\"((a{900}){900}){900}\"}",
            "1:6: parse error: a regular expression is larger than 1048576 bytes",
        ),
        ("a; b", "1:2: parse error: unexpected \";\" after the expression"),
        ("é", "1:1: parse error: unexpected character: 'é'"),
    ] {
        assert_eq!(fault(text), expected, "{text}");
    }
}

#[test]
fn what_is_not_here_is_refused_by_name() {
    assert!(fault("hour(a)").contains("the function hour is not available here; these are: abs,"));
    assert!(
        fault("count_values(\"x\", a)")
            .contains("count_values is not available here; these are: sum")
    );
    for text in ["rate(a[5m])[1h:1m]", "a[1h:1m]", "max_over_time(rate(a[1m])[1h:])", "(a)[5m]"] {
        assert!(fault(text).contains("subqueries"), "{text}");
    }
}

#[test]
fn what_is_too_much_is_refused_and_costs_no_stack() {
    let many = |text: &str, times: usize| text.repeat(times);
    for (text, expected) in [
        (many("(", 10_000), "nested deeper"),
        (many("-", 10_000) + "1", "nested deeper"),
        (many("abs(", 3_000), "nested deeper"),
        (many("sum by (a) (", 1_000), "nested deeper"),
        (many("1+", 5_000) + "1", "nested deeper"),
        (many("2^", 5_000) + "1", "nested deeper"),
        (many("a or ", 3_000) + "a", "nested deeper"),
        (many("a", 20_000), "the text has 20000 bytes"),
        (format!("a{{{}}}", many("b=~\"c\",", 21)), "more than 20 regular expressions"),
        (format!("a{{{}}}", many("b=\"c\",", 201)), "more than 200 matchers"),
        (many("a @ ", 4_000), "unexpected"),
    ] {
        assert!(fault(&text).contains(expected), "{}: {}", &text[..20], fault(&text));
    }
    // What is just allowed is parsed, walked and dropped on the stack that queries run on.
    let deep = format!("{}1{}", many("(", 99), many(")", 99));
    assert!(parse(&deep).is_ok());
    assert!(parse(&(many("1+", 99) + "1")).is_ok());
}

#[test]
fn durations_are_read_alone() {
    for (text, expected) in [
        ("15s", Some(15.0)),
        ("0.5", Some(0.5)),
        ("60", Some(60.0)),
        ("x", None),
        ("1e300", None),
        ("NaN", None),
    ] {
        let expected = expected.map(|seconds: f64| (seconds * 1e9) as i64);
        assert_eq!(parse_duration(text), expected, "{text}");
    }
}

mod properties {
    use super::*;
    use proptest::prelude::*;

    const WORDS: [&str; 44] = [
        "a",
        "{",
        "}",
        "(",
        ")",
        "[",
        "]",
        ",",
        "=",
        "=~",
        "!=",
        "!~",
        "\"x\"",
        "'\\",
        "`",
        "5m",
        "1",
        "1e30",
        "0x",
        "99999999999999999999999",
        ":",
        "@",
        "offset",
        "-",
        "+",
        "^",
        "*",
        "by",
        "without",
        "sum",
        "topk",
        "on",
        "ignoring",
        "group_left",
        "bool",
        "==",
        ">",
        "rate",
        "and",
        "start()",
        "é",
        "#",
        "\n",
        "label_replace",
    ];

    proptest! {
        /// Whatever the text, there is an answer; and it says where in the text.
        #[test]
        fn nothing_panics(words in prop::collection::vec(0..WORDS.len(), 0..40), glue in any::<bool>()) {
            let words: Vec<_> = words.into_iter().map(|word| WORDS[word]).collect();
            let text = words.join(if glue { "" } else { " " });
            if let Err(fault) = parse(&text) {
                prop_assert!(fault.to_string().contains("parse error: "));
            }
        }

        #[test]
        fn nothing_panics_on_any_characters(text in "\\PC{0,80}") {
            if let Err(fault) = parse_selector(&text) {
                prop_assert!(fault.to_string().contains("parse error: "));
            }
        }
    }
}
