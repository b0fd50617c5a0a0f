//! A problem shown in the text it is in: `file:line:column`, the line itself and a caret under the place.

use super::{Paint, terminal};
use hostler_model::Problem;

/// A text and what to call it.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    pub(crate) name: String,
    pub(crate) text: String,
}

/// How many characters of a line are shown around the place.
const SHOWN: usize = 96;

impl Source {
    pub(crate) fn show(&self, problem: &Problem, paint: Paint) -> String {
        let (Some(line), Some(column)) = (problem.line, problem.column) else {
            return self.show_placeless(problem, paint);
        };
        let place = format!("{}:{line}:{column}", self.name);
        let mut text = format!("{}: {}\n", paint.strong(&place), terminal::one_line(&problem.message));
        if let Some(shown) = self.text.lines().nth(line.saturating_sub(1) as usize) {
            let (shown, caret) = window(shown, column.saturating_sub(1) as usize);
            let margin = line.to_string();
            let space = " ".repeat(margin.len());
            let pointer = paint.bad(&format!("{}^", " ".repeat(caret)));
            text.push_str(&format!(
                "  {} {}\n",
                paint.faint(&format!("{margin} |")),
                terminal::harmless(shown.as_bytes())
            ));
            text.push_str(&format!("  {} {pointer}\n", paint.faint(&format!("{space} |"))));
        }
        text + &hint(problem, paint)
    }

    fn show_placeless(&self, problem: &Problem, paint: Paint) -> String {
        // What is no JSON pointer is not in this text: a variable of the environment, an option.
        let place = match problem.at.as_str() {
            "" => self.name.clone(),
            at if at.starts_with('/') => format!("{}: {at}", self.name),
            at => at.to_string(),
        };
        format!("{}: {}\n{}", paint.strong(&place), terminal::one_line(&problem.message), hint(problem, paint))
    }
}

fn hint(problem: &Problem, paint: Paint) -> String {
    problem.hint.iter().map(|hint| format!("  {}: {}\n", paint.strong("hint"), terminal::one_line(hint))).collect()
}

/// The part of a line around `column` (in characters, from 0), tabs as one blank each, and where the column is in it.
fn window(line: &str, column: usize) -> (String, usize) {
    let characters: Vec<char> = line.chars().map(|c| if c == '\t' { ' ' } else { c }).collect();
    let column = column.min(characters.len());
    if characters.len() <= SHOWN {
        return (characters.into_iter().collect(), column);
    }
    let start = column.saturating_sub(SHOWN / 2).min(characters.len() - SHOWN);
    let mut shown: String = characters[start..start + SHOWN].iter().collect();
    let mut caret = column - start;
    if start > 0 {
        shown.insert(0, '…');
        caret += 1;
    }
    if start + SHOWN < characters.len() {
        shown.push('…');
    }
    (shown, caret)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(line: u32, column: u32) -> Problem {
        Problem { line: Some(line), column: Some(column), ..Problem::new("/tasks/a/timout", "unknown key `timout`") }
    }

    #[test]
    fn the_caret_stands_under_the_place() {
        let source = Source { name: "p.json".into(), text: "{\n\t\"timout\": 1\n}".into() };
        insta::assert_snapshot!(source.show(&problem(2, 2).hint("did you mean `timeout`?"), Paint::PLAIN), @r#"
        p.json:2:2: unknown key `timout`
          2 |  "timout": 1
            |  ^
          hint: did you mean `timeout`?
        "#);
    }

    #[test]
    fn a_long_line_is_shown_around_the_place() {
        let text = format!("{}x{}", "a".repeat(500), "b".repeat(500));
        let source = Source { name: "p.json".into(), text };
        let shown = source.show(&problem(1, 501), Paint::PLAIN);
        let lines: Vec<&str> = shown.lines().collect();
        assert_eq!(lines[1].chars().count(), lines[1].trim_end().chars().count());
        let caret = lines[2].chars().position(|c| c == '^').expect("there is a caret");
        assert_eq!(lines[1].chars().nth(caret), Some('x'));
    }
}
