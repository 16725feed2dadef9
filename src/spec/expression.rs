//! The small language inside braces: whole numbers, `+ - * / %`, parentheses, and the variables of a slot. `{slot:02}` pads with zeros.
//! It has no strings, loops or functions, so that what a file means can be checked by reading it.

/// Why an expression or template cannot be read or computed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct ExpressionError {
    /// Byte in the text.
    pub at: usize,
    /// What is wrong.
    pub why: String,
}

pub(super) fn bad(at: usize, why: impl Into<String>) -> ExpressionError {
    ExpressionError { at, why: why.into() }
}

/// What a template can name.
#[derive(Debug, Clone, Default)]
pub struct Variables<'a> {
    /// Site.
    pub site: &'a str,
    /// Rack name.
    pub rack: &'a str,
    /// Node name; empty while it is being made.
    pub node: &'a str,
    /// Letters that start the rack's name as a number: a = 1, z = 26, aa = 27.
    pub row: Option<i64>,
    /// Digits that end the rack's name.
    pub n: Option<i64>,
    /// Slot in the rack, from 1; unknown for the rack itself.
    pub slot: Option<i64>,
}

/// Names of the numbers.
const NUMBERS: [&str; 3] = ["row", "n", "slot"];
/// Names of the texts.
const TEXTS: [&str; 3] = ["site", "rack", "node"];

/// A whole-number expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expression {
    /// A number.
    Number(i64),
    /// One of `row`, `n`, `slot`.
    Variable(&'static str),
    /// Two sides and the sign between them.
    Pair(Box<Expression>, char, Box<Expression>),
}

/// Deepest nesting of parentheses.
const MAX_DEPTH: usize = 32;
/// Longest expression.
const MAX_TEXT: usize = 1024;

impl Expression {
    /// Reads an expression; `base` is added to the places of errors.
    ///
    /// # Errors
    /// With the place of the first sign that does not fit.
    pub fn parse(text: &str, base: usize) -> Result<Self, ExpressionError> {
        if text.len() > MAX_TEXT {
            return Err(bad(base, format!("an expression has at most {MAX_TEXT} characters")));
        }
        let mut reader = Reader { text, at: 0, base };
        let all = reader.sum(0)?;
        reader.space();
        match reader.peek() {
            None => Ok(all),
            Some(c) => Err(bad(base + reader.at, format!("`{}` was not expected here", c.escape_debug()))),
        }
    }

    /// Computes it.
    ///
    /// # Errors
    /// A variable without value, a division by zero, or a result outside 64 bits.
    pub fn value(&self, variables: &Variables<'_>) -> Result<i64, String> {
        match self {
            Self::Number(n) => Ok(*n),
            Self::Variable(name) => {
                let value = match *name {
                    "row" => variables.row,
                    "n" => variables.n,
                    _ => variables.slot,
                };
                value.ok_or_else(|| match *name {
                    "slot" => "`slot` has no value for a whole rack".to_owned(),
                    "row" => format!("the rack name `{}` does not start with letters, so `row` has no value", variables.rack),
                    _ => format!("the rack name `{}` does not end in digits, so `n` has no value", variables.rack),
                })
            }
            Self::Pair(left, sign, right) => {
                let (a, b) = (left.value(variables)?, right.value(variables)?);
                let result = match sign {
                    '+' => a.checked_add(b),
                    '-' => a.checked_sub(b),
                    '*' => a.checked_mul(b),
                    _ if b == 0 => return Err(format!("{a} {sign} 0 has no value")),
                    '/' => a.checked_div_euclid(b),
                    _ => a.checked_rem_euclid(b),
                };
                result.ok_or_else(|| format!("{a} {sign} {b} is too large"))
            }
        }
    }
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
    base: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<char> {
        self.text.get(self.at..)?.chars().next()
    }

    fn space(&mut self) {
        while self.peek() == Some(' ') {
            self.at += 1;
        }
    }

    fn sum(&mut self, depth: usize) -> Result<Expression, ExpressionError> {
        let mut left = self.product(depth)?;
        loop {
            self.space();
            let Some(sign @ ('+' | '-')) = self.peek() else { return Ok(left) };
            self.at += 1;
            left = Expression::Pair(Box::new(left), sign, Box::new(self.product(depth)?));
        }
    }

    fn product(&mut self, depth: usize) -> Result<Expression, ExpressionError> {
        let mut left = self.atom(depth)?;
        loop {
            self.space();
            let Some(sign @ ('*' | '/' | '%')) = self.peek() else { return Ok(left) };
            self.at += 1;
            left = Expression::Pair(Box::new(left), sign, Box::new(self.atom(depth)?));
        }
    }

    fn atom(&mut self, depth: usize) -> Result<Expression, ExpressionError> {
        self.space();
        let start = self.at;
        let rest = self.text.get(start..).unwrap_or("");
        match self.peek() {
            Some('(') if depth < MAX_DEPTH => {
                self.at += 1;
                let inner = self.sum(depth + 1)?;
                self.space();
                if self.peek() != Some(')') {
                    return Err(bad(self.base + start, "`(` is never closed"));
                }
                self.at += 1;
                Ok(inner)
            }
            Some('(') => Err(bad(self.base + start, format!("more than {MAX_DEPTH} parentheses deep"))),
            Some('0'..='9') => {
                let len = rest.bytes().take_while(u8::is_ascii_digit).count();
                self.at += len;
                let number = rest.get(..len).and_then(|d| d.parse().ok());
                number.map(Expression::Number).ok_or_else(|| bad(self.base + start, "the number is too large"))
            }
            Some(c) if c.is_ascii_alphabetic() => {
                let len = rest.bytes().take_while(|b| b.is_ascii_alphanumeric() || *b == b'_').count();
                self.at += len;
                let word = rest.get(..len).unwrap_or("");
                let known = NUMBERS.iter().find(|k| **k == word);
                known.map(|k| Expression::Variable(k)).ok_or_else(|| {
                    let why = if TEXTS.contains(&word) { "is a text and cannot be computed with" } else { "is not a variable" };
                    bad(self.base + start, format!("`{word}` {why}; there are {}", NUMBERS.join(", ")))
                })
            }
            Some(c) => Err(bad(self.base + start, format!("`{}` was not expected here", c.escape_debug()))),
            None => Err(bad(self.base + start, "the expression ends too early")),
        }
    }
}

/// Text with expressions in braces, such as `{rack}-s{slot:02}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Literal(String),
    Text(&'static str),
    Number(Expression, usize),
}

impl Template {
    /// Reads a template; `base` is added to the places of errors. `{{` and `}}` are not special: braces cannot be written.
    ///
    /// # Errors
    /// With the place of the first sign that does not fit.
    pub fn parse(text: &str, base: usize) -> Result<Self, ExpressionError> {
        let mut parts = Vec::new();
        let mut at = 0;
        while let Some(rest) = text.get(at..).filter(|r| !r.is_empty()) {
            let open = rest.find('{').unwrap_or(rest.len());
            let literal = rest.get(..open).unwrap_or("");
            if let Some(stray) = literal.find('}') {
                return Err(bad(base + at + stray, "`}` without `{`"));
            }
            if !literal.is_empty() {
                parts.push(Part::Literal(literal.to_owned()));
            }
            at += open;
            let Some(inside) = rest.get(open + 1..) else { break };
            let close = inside.find('}').ok_or_else(|| bad(base + at, "`{` is never closed"))?;
            parts.push(Self::part(inside.get(..close).unwrap_or(""), base + at + 1)?);
            at += close + 2;
        }
        Ok(Self { parts })
    }

    fn part(inside: &str, base: usize) -> Result<Part, ExpressionError> {
        if let Some(text) = TEXTS.iter().find(|t| **t == inside.trim()) {
            return Ok(Part::Text(text));
        }
        let (expression, format) = inside.rsplit_once(':').map_or((inside, None), |(e, f)| (e, Some(f)));
        let width = match format {
            None => 0,
            Some(f) => match f.strip_prefix('0').and_then(|w| w.parse::<usize>().ok()).filter(|w| (1..=9).contains(w)) {
                Some(width) => width,
                None => return Err(bad(base + expression.len() + 1, "a width such as `02` is expected behind the colon")),
            },
        };
        Ok(Part::Number(Expression::parse(expression, base)?, width))
    }

    /// Fills it in.
    ///
    /// # Errors
    /// As [`Expression::value`], and a negative number.
    pub fn fill(&self, variables: &Variables<'_>) -> Result<String, String> {
        let mut out = String::new();
        for part in &self.parts {
            match part {
                Part::Literal(text) => out.push_str(text),
                Part::Text("site") => out.push_str(variables.site),
                Part::Text("rack") => out.push_str(variables.rack),
                Part::Text(_) if variables.node.is_empty() => return Err("`node` has no value here".to_owned()),
                Part::Text(_) => out.push_str(variables.node),
                Part::Number(expression, width) => match expression.value(variables)? {
                    n if n < 0 => return Err(format!("the number is negative ({n})")),
                    n => out.push_str(&format!("{n:0width$}")),
                },
            }
        }
        Ok(out)
    }
}
