use super::*;

/// Two functions with three branches, and one that is imported.
const MODULE: &str = r#"(module
    (import "env" "there" (func))
    (global (mut i32) (i32.const 0))
    (func (export "one") (param i32) (result i32)
        (if (local.get 0) (then (return (i32.const 7))))
        (block (br_if 0 (local.get 0)) (return (i32.const 8)))
        (i32.const 9))
    (func (export "other") (param i32)
        (block (br_if 0 (i32.const 0)))))"#;

fn module() -> Vec<u8> {
    wat::parse_str(MODULE).unwrap()
}

fn table(counts: [(u64, u64); 3]) -> Table {
    Table::counted(&functions(&module()).unwrap(), counts)
}

/// The hints that are in a module: the function, where in its body, and what.
fn hints(wasm: &[u8]) -> Vec<(u32, u32, bool)> {
    let mut found = Vec::new();
    let mut code_came = false;
    for payload in Parser::new(0).parse_all(wasm) {
        match payload.unwrap() {
            Payload::CodeSectionStart { .. } => code_came = true,
            Payload::CustomSection(section) => {
                assert!(!code_came, "hints come before the code");
                let wasmparser::KnownCustom::BranchHints(functions) = section.as_known() else {
                    panic!("{} is no section of hints", section.name());
                };
                for function in functions {
                    let function = function.unwrap();
                    for hint in function.hints {
                        let hint = hint.unwrap();
                        found.push((function.func, hint.func_offset, hint.taken));
                    }
                }
            }
            _ => {}
        }
    }
    found
}

#[test]
fn a_branch_that_always_goes_one_way_is_hinted_and_no_other() {
    let of = functions(&module()).unwrap();
    let at = |function: usize, branch: usize| of[function].branches[branch];
    let wasm = hinted(&module(), &table([(5, 0), (2, 3), (0, 4)])).unwrap();
    assert_eq!(hints(&wasm), [(1, at(0, 0), false), (2, at(1, 0), true)]);
    wasmparser::validate(&wasm).unwrap();
    let without = hinted(&module(), &table([(1, 1), (0, 0), (0, 0)]));
    assert_eq!(without.unwrap(), module());
}

#[test]
fn hints_stand_where_branches_do() {
    let wasm = module();
    let mut bodies = Vec::new();
    for payload in Parser::new(0).parse_all(&wasm) {
        if let Payload::CodeSectionEntry(body) = payload.unwrap() {
            bodies.push(body.range().start);
        }
    }
    for (function, start) in functions(&wasm).unwrap().iter().zip(bodies) {
        for at in &function.branches {
            // if and br_if
            assert!([0x04, 0x0d].contains(&wasm[start + *at as usize]));
        }
    }
}

#[test]
fn a_function_that_has_changed_is_given_no_hints() {
    let table = table([(5, 0), (0, 3), (0, 4)]);
    for (from, to, left) in [
        // What an instruction is about makes no difference, what it does makes one.
        ("i32.const 7", "i32.const 70", 3),
        ("(i32.const 7)", "(i32.eqz (i32.const 7))", 1),
    ] {
        let changed = MODULE.replacen(from, to, 1);
        assert_ne!(changed, MODULE);
        let wasm = hinted(&wat::parse_str(changed).unwrap(), &table).unwrap();
        assert_eq!(hints(&wasm).len(), left, "{to}");
    }
}

#[test]
fn functions_that_are_alike_share_what_is_known() {
    let twice = "(func (param i32) (block (br_if 0 (local.get 0))))";
    let wasm = wat::parse_str(format!("(module {twice} {twice})")).unwrap();
    let functions = functions(&wasm).unwrap();
    assert_eq!(functions[0], functions[1]);
    let of = |counts: [(u64, u64); 2]| {
        let table = Table::counted(&functions, counts);
        hints(&hinted(&wasm, &table).unwrap()).len()
    };
    assert_eq!(of([(1, 0), (1, 0)]), 2);
    assert_eq!(of([(1, 0), (0, 0)]), 2);
    assert_eq!(of([(1, 0), (0, 1)]), 0);
}

#[test]
fn a_table_is_read_as_it_was_written() {
    let table = table([(5, 0), (2, 3), (0, 4)]);
    let text = table.to_string();
    assert_eq!(text.lines().count(), 2);
    assert_eq!(format!("# what it is\n{text}").parse(), Ok(table));
    assert_eq!("".parse(), Ok(Table::default()));
    for line in ["0", "0 x", "z 01", "123456789 01", " 01"] {
        let said = line.parse::<Table>();
        assert_eq!(said, Err(format!("{line:?} is no line of a table")));
    }
}

#[test]
fn a_table_covers_what_it_says_as_well() {
    let known = table([(5, 0), (2, 3), (0, 4)]);
    assert_eq!(known.covers(&known), (2, 2));
    assert_eq!(known.covers(&table([(5, 0), (3, 0), (4, 0)])), (1, 3));
    assert_eq!(Table::default().covers(&known), (0, 2));
}

#[test]
fn a_module_that_counts_has_two_counters_for_each_branch_and_is_sound() {
    let counting = counting(&module()).unwrap();
    wasmparser::validate(&counting).unwrap();
    let mut exports = Vec::new();
    for payload in Parser::new(0).parse_all(&counting) {
        if let Payload::ExportSection(section) = payload.unwrap() {
            exports.extend(section.into_iter().map(|export| export.unwrap().name));
        }
    }
    assert_eq!(
        exports,
        ["one", "other", COUNTS, "0", "1", "2", "3", "4", "5"]
    );
    assert!(super::counting(b"no module").is_err());
}
