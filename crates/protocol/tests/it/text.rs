//! JSON as text: laid out for a reader, or without white space, and no token changed.

/// The text without the white space between its tokens.
pub(crate) fn minify(json: &str) -> String {
    tokens(json).concat()
}

/// The text with a line for each element, indented by two.
pub(crate) fn pretty(json: &str) -> String {
    let tokens = tokens(json);
    let mut text = String::new();
    let mut depth = 0_usize;
    let line = |text: &mut String, depth: usize| {
        text.push('\n');
        text.push_str(&"  ".repeat(depth));
    };
    for (index, token) in tokens.iter().enumerate() {
        let next = tokens.get(index + 1).map(String::as_str);
        match token.as_str() {
            "{" | "[" => {
                depth += 1;
                text.push_str(token);
                if !matches!(next, Some("}" | "]")) {
                    line(&mut text, depth);
                }
            }
            "}" | "]" => {
                depth -= 1;
                if !text.ends_with(['{', '[']) {
                    line(&mut text, depth);
                }
                text.push_str(token);
            }
            "," => {
                text.push(',');
                line(&mut text, depth);
            }
            ":" => text.push_str(": "),
            other => text.push_str(other),
        }
    }
    text
}

/// Punctuation, strings and everything else, in order.
fn tokens(json: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut chars = json.chars().peekable();
    while let Some(c) = chars.next() {
        let mut token = String::from(c);
        match c {
            c if c.is_ascii_whitespace() => continue,
            '"' => {
                while let Some(c) = chars.next() {
                    token.push(c);
                    if c == '\\' {
                        token.extend(chars.next());
                    } else if c == '"' {
                        break;
                    }
                }
            }
            '{' | '}' | '[' | ']' | ',' | ':' => {}
            _ => {
                while let Some(c) = chars.next_if(|c| !c.is_ascii_whitespace() && !"{}[],:\"".contains(*c)) {
                    token.push(c);
                }
            }
        }
        tokens.push(token);
    }
    tokens
}

#[test]
fn white_space_in_strings_is_kept_and_between_tokens_is_not() {
    assert_eq!(minify("{ \"a b\" : [ 1 , \"\\\" x\" ] , \"c\":{} }"), r#"{"a b":[1,"\" x"],"c":{}}"#);
    assert_eq!(pretty(r#"{"a":[1,{}]}"#), "{\n  \"a\": [\n    1,\n    {}\n  ]\n}");
}
