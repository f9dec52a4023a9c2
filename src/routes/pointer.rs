//! JSON pointers (RFC 6901), in which a token `*` stands for any one key or index.

/// Tokens of a pointer, at most; messages are not nested deeper.
pub(super) const DEPTH_MAX: usize = 32;

/// One token.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Token {
    /// `*`
    Any,
    /// A key, or an index in decimal.
    Key(Box<str>),
}

/// Takes a pointer apart; the empty one points to the whole message.
///
/// # Errors
/// A sentence for the administrator.
pub(super) fn tokens(pointer: &str) -> Result<Vec<Token>, String> {
    if pointer.is_empty() {
        return Ok(Vec::new());
    }
    let Some(tokens) = pointer.strip_prefix('/') else {
        return Err(format!("\"{pointer}\" is no JSON pointer: it must begin with \"/\""));
    };
    let tokens: Vec<_> = tokens.split('/').map(token).collect::<Option<_>>().ok_or_else(|| {
        format!(
            "\"{pointer}\" is no JSON pointer: after \"~\" comes 0 (for \"~\") or 1 (for \"/\")"
        )
    })?;
    match tokens.len() {
        0..=DEPTH_MAX => Ok(tokens),
        _ => Err(format!("\"{pointer}\" has more than {DEPTH_MAX} tokens")),
    }
}

fn token(text: &str) -> Option<Token> {
    if text == "*" {
        return Some(Token::Any);
    }
    let mut key = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('~') {
        key += before;
        key += match after.as_bytes().first()? {
            b'0' => "~",
            b'1' => "/",
            _ => return None,
        };
        rest = &after[1..];
    }
    Some(Token::Key((key + rest).into()))
}

/// Adds a token to the text of a pointer.
pub(super) fn push(pointer: &mut String, key: &str) {
    pointer.push('/');
    if key.contains(['~', '/']) {
        *pointer += &key.replace('~', "~0").replace('/', "~1");
    } else {
        *pointer += key;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn pointers_are_those_of_rfc_6901() {
        let keys = |pointer: &str| -> Vec<String> {
            let tokens = tokens(pointer).unwrap();
            let text = |token: Token| match token {
                Token::Any => "any".to_owned(),
                Token::Key(key) => key.into(),
            };
            tokens.into_iter().map(text).collect()
        };
        // The examples of its section 5.
        assert_eq!(keys(""), [""; 0]);
        assert_eq!(keys("/foo/0"), ["foo", "0"]);
        assert_eq!(keys("/"), [""]);
        assert_eq!(keys("/a~1b"), ["a/b"]);
        assert_eq!(keys("/c%d"), ["c%d"]);
        assert_eq!(keys("/e^f"), ["e^f"]);
        assert_eq!(keys("/ "), [" "]);
        assert_eq!(keys("/m~0n"), ["m~n"]);
        // ~01 is ~1, not /.
        assert_eq!(keys("/~01"), ["~1"]);
        assert_eq!(keys("/*/a*"), ["any", "a*"]);
        for bad in ["foo", "/a~", "/a~2", "#/foo", &"/a".repeat(33)] {
            assert!(tokens(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn a_key_of_any_characters_has_a_pointer(key in any::<String>()) {
            prop_assume!(key != "*");
            let mut pointer = String::new();
            push(&mut pointer, &key);
            prop_assert_eq!(tokens(&pointer), Ok(vec![Token::Key(key.as_str().into())]));
        }
    }
}
