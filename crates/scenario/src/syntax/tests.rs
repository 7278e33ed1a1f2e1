use super::*;

fn shape(text: &str) -> String {
    fn show(node: &Node) -> String {
        let list = |nodes: Vec<String>| nodes.join(",");
        match &node.value {
            Value::Boolean(value) => value.to_string(),
            Value::Number(number) => number.clone(),
            Value::Text(text) => format!("{text:?}"),
            Value::List(items) => format!("[{}]", list(items.iter().map(show).collect())),
            Value::Map(entries) => {
                let pair = |(k, v): &(Node, Node)| format!("{}:{}", show(k), show(v));
                format!("{{{}}}", list(entries.iter().map(pair).collect()))
            }
            Value::Call(call) => {
                let name = call.name.as_ref().map_or("", |name| &name.text);
                let argument = |argument: &Argument| {
                    let name = argument.name.as_ref();
                    let name = name.map_or(String::new(), |name| format!("{}=", name.text));
                    format!("{name}{}", show(&argument.value))
                };
                let shown = |arguments: &Vec<Argument>| {
                    format!("({})", list(arguments.iter().map(argument).collect()))
                };
                format!("{name}{}", call.arguments.as_ref().map_or(String::new(), shown))
            }
        }
    }
    match parse(text, 0, 0) {
        Ok(node) => show(&node),
        Err(error) => format!("{}..{}: {}", error.span.start, error.span.end, error.message),
    }
}

#[test]
fn ron_is_read() {
    assert_eq!(shape("Cold // a comment\n/* and /* one */ more */"), "Cold");
    assert_eq!(shape("S(a: 1, b: [ X, Y(2,), Z() ], )"), "S(a=1,b=[X,Y(2),Z()])");
    assert_eq!(shape("// c\nS /* d */ (/* e */ X /* f */ (1, 2) /* g */, (a /* h */ : 1))// i"), {
        "S(X(1,2),(a=1))"
    });
    assert_eq!(
        shape(r##"{"a": r#"q"q"#, "b\n\u{41}": -1_000.5, C: 0x1_0, 1: 1e9}"##),
        r#"{"a":"q\"q","b\nA":-1000.5,C:0x10,1:1e9}"#
    );
    assert_eq!(shape("#![enable(implicit_some)]\n(true, None, Some(()), truest, inf)"), {
        "(true,None,Some(()),truest,inf)"
    });
    assert_eq!(shape("(a: 1, a: 2)"), "(a=1,a=2)");
    assert_eq!(shape("{1: 1, 1: 1}"), "{1:1,1:1}");
}

/// Every value and name of the text, by its place.
fn places(text: &str) -> Vec<&str> {
    fn collect(node: &Node, spans: &mut Vec<Span>) {
        spans.push(node.span);
        match &node.value {
            Value::Boolean(_) | Value::Number(_) | Value::Text(_) => {}
            Value::List(items) => items.iter().for_each(|item| collect(item, spans)),
            Value::Map(entries) => {
                for (key, value) in entries {
                    collect(key, spans);
                    collect(value, spans);
                }
            }
            Value::Call(call) => {
                spans.extend(call.name.iter().map(|name| name.span));
                for argument in call.arguments.iter().flatten() {
                    spans.extend(argument.name.iter().map(|name| name.span));
                    collect(&argument.value, spans);
                }
            }
        }
    }
    let mut spans = Vec::new();
    collect(&parse(text, 0, 0).unwrap(), &mut spans);
    spans.iter().map(|span| &text[span.start as usize..span.end as usize]).collect()
}

#[test]
fn every_value_knows_its_place() {
    let text = "// é\n /* é */ S( // c\n a /* d */ : [ \"é\" , X /* e */ , Y ( -1 ) // f\n , ] , \
                b: { /* g */ \"k\" : true } // h\n ) // i";
    assert_eq!(
        places(text),
        [
            &text[text.find('S').unwrap()..text.find(" // i").unwrap()],
            "S",
            "a",
            "[ \"é\" , X /* e */ , Y ( -1 ) // f\n , ]",
            "\"é\"",
            "X",
            "X",
            "Y ( -1 )",
            "Y",
            "-1",
            "b",
            "{ /* g */ \"k\" : true }",
            "\"k\"",
            "true",
        ]
    );
    let node = parse("Kill(1)", 2, 100).unwrap();
    assert_eq!(node.span, Span::new(2, 100..107));
}

#[test]
fn what_is_not_ron_is_located() {
    let table = [
        ("", "0..0: the text ends where a value should be"),
        ("(a: 1", "0..1: this `(` is not closed"),
        ("S(a: [1], b: {\"c\": T(1, [2]", "20..21: this `(` is not closed"),
        ("[1, // (\n \"[\", S /* { */ (", "25..26: this `(` is not closed"),
        ("(a: 1 b: 2)", "6..7: expected `,` or `)`, found `b`"),
        ("(a: [1 é])", "7..9: expected `,` or `]`, found `é`"),
        ("(a: 2s)", "4..6: `2s` is not a number"),
        ("[1(2)]", "2..3: expected `,` or `]`, found `(`"),
        ("[inf(2)]", "4..5: expected `,` or `]`, found `(`"),
        ("(2.5.1, -_)", "1..6: `2.5.1` is not a number"),
        ("[1__0, -_]", "7..9: `-_` is not a number"),
        ("(\"a\": 2)", "1..4: a field's name is written without quotes"),
        ("(b: 1, \"a\": 2)", "7..10: a field's name is written without quotes"),
        ("(\"a\" /* b */ : [1 2])", "1..4: a field's name is written without quotes"),
        ("(b: 1, \"a\")", "7..8: expected the name of a field, found `\"`"),
        ("(1, a: 2)", "4..5: only `a` has a name here"),
        ("(a: 2, 1)", "7..8: expected the name of a field, found `1`"),
        ("(a: 2, B(1))", "8..9: expected `:` after the name of a field, found `(`"),
        ("(a: 1, b-c: 2)", "7..10: `b-c` cannot be the name of a field"),
        ("{\"a\" 2}", "5..6: expected `:` after a key"),
        ("[)", "1..2: expected a value, found `)`"),
        ("[1, / 2]", "4..5: expected a value, found `/`"),
        ("A B", "2..3: unexpected `B` after the end"),
        ("\"abc", "0..1: this string does not end"),
        ("(a: r#\"abc\")", "4..5: this string does not end"),
        ("[\"a\\n\\qc\"]", "5..7: unknown escape in a string"),
        ("[1, /* 2", "4..6: this comment does not end"),
        ("['a']", "1..4: `'a'` has no place in a scenario"),
        ("(a: 1..2)", "4..8: `1..2` has no place in a scenario"),
    ];
    for (text, said) in table {
        assert_eq!(shape(text), said, "{text}");
    }
    let deep = "(".repeat(10_000);
    assert!(shape(&deep).ends_with("nested too deeply"), "{}", shape(&deep));
    let closed = format!("{}{}", "(".repeat(60), ")".repeat(60));
    assert_eq!(shape(&closed), closed);
}
