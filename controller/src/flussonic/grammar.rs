//! The grammar of `flussonic.conf`: statements that end with `;`, blocks in braces, words, quotes, comments.
//!
//! Pure: text in, [`Statement`]s with their lines out; [`print()`] is the way back. It knows no directive. A statement
//! that goes on in the next line without a quote has lost its `;` and is refused, because taking the next statement
//! for options would be a silent mistake. Bounded in bytes, words and depth, so that a hostile file costs little.
//! Messages never repeat a word of the file: it may be a password.

use std::fmt::{self, Write as _};

/// The most bytes of a configuration, 8 MiB: about 40,000 streams.
pub const BYTES_MAX: usize = 8 << 20;
/// The deepest nesting of blocks; real files use three.
pub const DEPTH_MAX: usize = 8;
/// The most words of a file.
pub const WORDS_MAX: usize = 500_000;
/// The most bytes of one word.
pub const WORD_BYTES_MAX: usize = 8_192;

/// One word of a statement.
#[derive(Clone, PartialEq, Eq)]
pub struct Word {
    /// Without its quotes.
    pub text: String,
    /// It began with a quote, so that it is a text and no option.
    pub quoted: bool,
}

impl fmt::Debug for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Word({} bytes)", self.text.len())
    }
}

/// One statement: words, and a block when it has one.
#[derive(Debug, Clone)]
pub struct Statement {
    /// Where its first word is, from 1.
    pub line: u32,
    /// At least one.
    pub words: Vec<Word>,
    /// What stands between its braces.
    pub block: Option<Vec<Self>>,
}

/// Two statements are the same wherever they stand.
impl PartialEq for Statement {
    fn eq(&self, other: &Self) -> bool {
        self.words == other.words && self.block == other.block
    }
}

impl Statement {
    /// The first word.
    #[must_use]
    pub fn name(&self) -> &str {
        self.words.first().map_or("", |word| &word.text)
    }

    /// The words behind the first.
    #[must_use]
    pub fn arguments(&self) -> &[Word] {
        self.words.get(1..).unwrap_or_default()
    }
}

/// Why a text is no configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum GrammarError {
    /// Over [`BYTES_MAX`].
    #[error("the file has more than {BYTES_MAX} bytes; give the flussonic.conf itself")]
    TooLarge,
    /// Compressed, or a picture, or a program.
    #[error("the file is not text; give the flussonic.conf itself, unpacked")]
    Binary,
    /// Saved by an editor in another encoding.
    #[error("line {line}: not UTF-8 text; save the file as UTF-8")]
    Encoding {
        /// Where.
        line: u32,
    },
    /// A web page was saved.
    #[error("the file is a web page; give the flussonic.conf itself, or the address of the server")]
    WebPage,
    /// The configuration of a server before 2013.
    #[error(
        "line {line}: these are Erlang terms, the configuration of a server before 2013; let a Flussonic from 2013 on \
         convert it, or write each stream as: stream NAME {{ input URL; }}"
    )]
    ErlangTerms {
        /// Where they begin.
        line: u32,
    },
    /// A control character.
    #[error("line {line}: a control character; remove it")]
    Control {
        /// Where.
        line: u32,
    },
    /// A quote that is never closed.
    #[error("line {line}: the quote that begins here is not closed; add \" at its end")]
    OpenQuote {
        /// Where it begins.
        line: u32,
    },
    /// A statement that does not end.
    #[error("line {line}: the statement is not ended; add ; at its end")]
    NotEnded {
        /// Where it begins.
        line: u32,
    },
    /// A block that does not end.
    #[error("line {line}: the block that begins here is not closed; add }} at its end")]
    OpenBlock {
        /// Where it begins.
        line: u32,
    },
    /// A block that ends and never began.
    #[error("line {line}: this }} closes nothing; remove it, or look for a missing {{ above")]
    StrayClose {
        /// Where.
        line: u32,
    },
    /// Braces with nothing before them.
    #[error("line {line}: this block has no name; write for example stream NAME {{ … }}")]
    Nameless {
        /// Where.
        line: u32,
    },
    /// Deeper than [`DEPTH_MAX`].
    #[error("line {line}: blocks are nested deeper than {DEPTH_MAX}; look for a missing }} above")]
    TooDeep {
        /// Where.
        line: u32,
    },
    /// More than [`WORDS_MAX`], or one over [`WORD_BYTES_MAX`].
    #[error("line {line}: too many words, or one too long, for a configuration; is this the right file?")]
    TooMuch {
        /// Where.
        line: u32,
    },
}

/// The bytes of a file as text: a byte order mark is skipped, other things than text are named.
///
/// # Errors
/// [`GrammarError`].
pub fn text(bytes: &[u8]) -> Result<&str, GrammarError> {
    if bytes.len() > BYTES_MAX {
        return Err(GrammarError::TooLarge);
    }
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    // A zero byte is in every archive, program and UTF-16 text.
    if bytes.contains(&0) || bytes.starts_with(&[0x1F, 0x8B]) {
        return Err(GrammarError::Binary);
    }
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let before = bytes.get(..error.valid_up_to()).unwrap_or_default();
        GrammarError::Encoding { line: line_at(before) }
    })?;
    if text.trim_start().starts_with('<') { Err(GrammarError::WebPage) } else { Ok(text) }
}

fn line_at(before: &[u8]) -> u32 {
    u32::try_from(before.iter().filter(|byte| **byte == b'\n').count() + 1).unwrap_or(u32::MAX)
}

/// Reads a configuration.
///
/// # Errors
/// [`GrammarError`] with the line.
pub fn parse(text: &str) -> Result<Vec<Statement>, GrammarError> {
    // Erlang's terms begin with a brace or bracket, its comments with a per cent sign; nothing here does.
    if text.trim_start().starts_with(['{', '[', '%']) {
        let blanks = text.len() - text.trim_start().len();
        return Err(GrammarError::ErlangTerms { line: line_at(text.as_bytes().get(..blanks).unwrap_or_default()) });
    }
    let mut lexer = Lexer { rest: text, line: 1, words: 0 };
    let mut done: Vec<Statement> = vec![];
    // Blocks that are open: their statement, and what stood before it in the block around.
    let mut open: Vec<(Statement, Vec<Statement>)> = vec![];
    let mut words: Vec<Word> = vec![];
    let mut begun = 1;
    let mut word_line = 1;
    loop {
        let (token, line) = lexer.next()?;
        match token {
            Token::Word(word) => {
                if words.is_empty() {
                    begun = line;
                } else if line != word_line {
                    return Err(GrammarError::NotEnded { line: begun });
                }
                word_line = lexer.line;
                words.push(word);
            }
            Token::End if words.is_empty() => {}
            Token::End => done.push(Statement { line: begun, words: std::mem::take(&mut words), block: None }),
            Token::Open if words.is_empty() => return Err(GrammarError::Nameless { line }),
            Token::Open if open.len() >= DEPTH_MAX => return Err(GrammarError::TooDeep { line }),
            Token::Open => {
                let statement = Statement { line: begun, words: std::mem::take(&mut words), block: None };
                open.push((statement, std::mem::take(&mut done)));
            }
            Token::Close | Token::Eof if !words.is_empty() => {
                return Err(GrammarError::NotEnded { line: begun });
            }
            Token::Close => {
                let (mut statement, around) = open.pop().ok_or(GrammarError::StrayClose { line })?;
                statement.block = Some(std::mem::replace(&mut done, around));
                done.push(statement);
            }
            Token::Eof => match open.last() {
                Some((statement, _)) => return Err(GrammarError::OpenBlock { line: statement.line }),
                None => return Ok(done),
            },
        }
    }
}

enum Token {
    Word(Word),
    Open,
    Close,
    End,
    Eof,
}

struct Lexer<'t> {
    rest: &'t str,
    line: u32,
    words: usize,
}

impl Lexer<'_> {
    /// The next token and the line it begins at.
    fn next(&mut self) -> Result<(Token, u32), GrammarError> {
        loop {
            let line = self.line;
            let Some(c) = self.rest.chars().next() else { return Ok((Token::Eof, line)) };
            match c {
                '#' => {
                    let end = self.rest.find('\n').unwrap_or(self.rest.len());
                    self.rest = self.rest.get(end..).unwrap_or_default();
                }
                '\n' | ' ' | '\t' | '\r' => drop(self.take()?),
                ';' | '{' | '}' => {
                    let _ = self.take()?;
                    let token = match c {
                        ';' => Token::End,
                        '{' => Token::Open,
                        _ => Token::Close,
                    };
                    return Ok((token, line));
                }
                _ => return Ok((Token::Word(self.word()?), line)),
            }
        }
    }

    /// One character, counted.
    fn take(&mut self) -> Result<Option<char>, GrammarError> {
        let mut chars = self.rest.chars();
        let taken = chars.next();
        self.rest = chars.as_str();
        match taken {
            Some('\n') => self.line = self.line.saturating_add(1),
            Some('\t' | '\r') => {}
            Some(c) if c.is_control() => return Err(GrammarError::Control { line: self.line }),
            _ => {}
        }
        Ok(taken)
    }

    fn word(&mut self) -> Result<Word, GrammarError> {
        let line = self.line;
        self.words += 1;
        let mut word = Word { text: String::new(), quoted: self.rest.starts_with('"') };
        while let Some(c) = self.rest.chars().next() {
            if word.text.len() > WORD_BYTES_MAX || self.words > WORDS_MAX {
                return Err(GrammarError::TooMuch { line });
            }
            match c {
                '\n' | ' ' | '\t' | '\r' | ';' | '{' | '}' => break,
                '"' => self.quote(&mut word.text)?,
                _ => word.text.extend(self.take()?),
            }
        }
        Ok(word)
    }

    /// What stands between two quotes; `\"` and `\\` stand for themselves.
    fn quote(&mut self, text: &mut String) -> Result<(), GrammarError> {
        let line = self.line;
        let _ = self.take()?;
        while let Some(c) = self.take()? {
            if text.len() > WORD_BYTES_MAX {
                return Err(GrammarError::OpenQuote { line });
            }
            match c {
                '"' => return Ok(()),
                '\\' if self.rest.starts_with(['"', '\\']) => text.extend(self.take()?),
                c => text.push(c),
            }
        }
        Err(GrammarError::OpenQuote { line })
    }
}

/// The statements as a file, which reads back as the same statements.
#[must_use]
pub fn print(statements: &[Statement]) -> String {
    let mut out = String::new();
    print_into(&mut out, statements, 0);
    out
}

fn print_into(out: &mut String, statements: &[Statement], depth: usize) {
    for statement in statements {
        out.extend(std::iter::repeat_n("  ", depth));
        for (index, word) in statement.words.iter().enumerate() {
            if index > 0 {
                out.push(' ');
            }
            print_word(out, word);
        }
        match &statement.block {
            None => out.push_str(";\n"),
            Some(block) => {
                out.push_str(" {\n");
                print_into(out, block, depth + 1);
                out.extend(std::iter::repeat_n("  ", depth));
                out.push_str("}\n");
            }
        }
    }
}

/// A word that began with a quote is quoted whole; another one only where it must be.
fn print_word(out: &mut String, word: &Word) {
    let plain = |c: char| !" \t\r\n;{}\"".contains(c);
    let mut quoted = word.quoted;
    if quoted {
        out.push('"');
    }
    for c in word.text.chars() {
        if !word.quoted && quoted == plain(c) {
            quoted = !quoted;
            out.push('"');
        }
        if quoted && matches!(c, '"' | '\\') {
            out.push('\\');
        }
        let _ = out.write_char(c);
    }
    if quoted {
        out.push('"');
    }
}
