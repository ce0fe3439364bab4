//! The text of a pattern as tokens. Errors say what is wrong and what to write instead.

use super::{Pattern, Scope, Token, unit};

/// Compiles a pattern; the error goes on after its name.
pub(super) fn parse(pattern: &[u8]) -> Result<Pattern, String> {
    if pattern.contains(&0) {
        return Err("can never match: it has a NUL in it".to_owned());
    }
    if pattern == b"~" || pattern.starts_with(b"~/") {
        return Err(r"begins with ~, which is no home directory here: write the whole path, or \~ for what is called ~".to_owned());
    }
    let mut components = Components::split(pattern)?.0;
    let anchored = components.len() > 1 && components[0].is_empty();
    if anchored {
        components.remove(0);
    }
    let directories_only = components.len() > 1 && components.last().is_some_and(Vec::is_empty);
    if directories_only {
        components.pop();
    }
    for component in &components {
        check(component, components.len() == 1)?;
    }
    let crosses = components.iter().flatten().any(|t| *t == Token::Everything);
    let scope = if anchored || components.len() > 1 || crosses {
        Scope::Path
    } else {
        Scope::Name
    };
    let mut tokens = Vec::new();
    if !anchored && scope == Scope::Path {
        tokens.push(Token::Directories);
    }
    let last = components.len() - 1;
    for (index, component) in components.into_iter().enumerate() {
        if component == [Token::Everything] && index < last {
            tokens.push(Token::Directories);
            continue;
        }
        for token in component {
            push(&mut tokens, token);
        }
        if index < last {
            push(&mut tokens, Token::Literal(b"/".to_vec()));
        }
    }
    Ok(Pattern {
        tokens,
        directories_only,
        scope,
    })
}

/// Refuses what no component of a path can be.
fn check(component: &[Token], only: bool) -> Result<(), String> {
    match component {
        [] if only => Err("matches nothing: write a name, or **/ for all directories".to_owned()),
        [] => Err("can never match: it has // in it".to_owned()),
        [Token::Literal(name)] if matches!(name.as_slice(), b"." | b"..") => {
            let name = String::from_utf8_lossy(name);
            Err(format!(
                "can never match: no stored path has {name} in it; write it without"
            ))
        }
        _ => Ok(()),
    }
}

/// The tokens of each component.
struct Components(Vec<Vec<Token>>);

impl Components {
    fn split(pattern: &[u8]) -> Result<Self, String> {
        let mut components = Self(vec![Vec::new()]);
        let mut at = 0;
        while at < pattern.len() {
            at += match pattern[at] {
                b'*' => components.stars(&pattern[at..]),
                b'?' => components.push(Token::One, 1),
                b'[' => components.class(&pattern[at..])?,
                b'\\' => {
                    let Some(&escaped) = pattern.get(at + 1) else {
                        return Err(
                            "ends in \\, which takes the next character as it is".to_owned()
                        );
                    };
                    components.byte(escaped) + 1
                }
                byte => components.byte(byte),
            };
        }
        Ok(components)
    }

    /// Appends a token to the last component; returns how long its text is.
    fn push(&mut self, token: Token, length: usize) -> usize {
        let component = self.0.last_mut().expect("there is one from the start");
        push(component, token);
        length
    }

    fn byte(&mut self, byte: u8) -> usize {
        if byte == b'/' {
            self.0.push(Vec::new());
            return 1;
        }
        self.push(Token::Literal(vec![byte]), 1)
    }

    fn stars(&mut self, rest: &[u8]) -> usize {
        let count = rest.iter().take_while(|b| **b == b'*').count();
        let token = if count == 1 {
            Token::Star
        } else {
            Token::Everything
        };
        self.push(token, count)
    }

    /// Reads `[…]`. As everywhere, `]` is an ordinary character if it comes first, and `!` and `^` there mean any other character.
    fn class(&mut self, rest: &[u8]) -> Result<usize, String> {
        let unclosed = || "has an unclosed [: write \\[ for the character itself".to_owned();
        let negated = matches!(rest.get(1), Some(b'!' | b'^'));
        let begin = 1 + usize::from(negated);
        let mut at = begin;
        let mut ranges = Vec::new();
        loop {
            if rest.get(at) == Some(&b']') && at > begin {
                break;
            }
            if rest[at..].starts_with(b"[:") && rest[at..].windows(2).any(|two| two == b":]") {
                return Err("has a class by name: write the characters, such as [a-z]".to_owned());
            }
            let (first, next) = member(rest, at).ok_or_else(unclosed)?;
            at = next;
            let mut last = first;
            if rest.get(at) == Some(&b'-') && rest.get(at + 1).is_some_and(|b| *b != b']') {
                (last, at) = member(rest, at + 1).ok_or_else(unclosed)?;
            }
            if first > last {
                return Err("has a range that ends before it begins".to_owned());
            }
            ranges.push((first, last));
        }
        let slash = u32::from(b'/');
        if !negated && ranges.iter().all(|range| *range == (slash, slash)) {
            return Err("can never match: a class is never a /".to_owned());
        }
        Ok(self.push(Token::Class { negated, ranges }, at + 1))
    }
}

/// Returns a character of a class, `\` taken away, and where the next one begins.
fn member(rest: &[u8], at: usize) -> Option<(u32, usize)> {
    let at = at + usize::from(rest.get(at) == Some(&b'\\'));
    let (unit, length) = unit(rest, at)?;
    Some((unit, at + length))
}

/// Appends a token; literals that follow one another become one.
fn push(tokens: &mut Vec<Token>, token: Token) {
    match (tokens.last_mut(), token) {
        (Some(Token::Literal(before)), Token::Literal(more)) => before.extend(more),
        (Some(Token::Everything), Token::Star | Token::Everything) => {}
        (_, token) => tokens.push(token),
    }
}
