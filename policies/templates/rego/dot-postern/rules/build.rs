//! Reads the rules when they are built: what is wrong with them is told in words here, and is a trap later.

#[expect(dead_code, reason = "here it is only read whether all is well")]
#[path = "src/manifest.rs"]
mod manifest;

const RULES: &str = "../../policy.rego";

fn main() {
    println!("cargo::rerun-if-changed={RULES}");
    if let Err(problem) = check() {
        for line in problem.lines() {
            println!("cargo::error={line}");
        }
    }
}

fn check() -> Result<(), String> {
    let rules = std::fs::read_to_string(RULES).map_err(|error| format!("policy.rego: {error}"))?;
    let mut engine = regorus::Engine::new();
    engine.add_policy("policy.rego".to_owned(), rules).map_err(|error| error.to_string())?;
    let verdict = if "{{kind}}" == "guard" { "deny" } else { "allow" };
    for rule in ["manifest", verdict] {
        let declared = engine.has_declared_rule_rooted_at("policy.rego", rule);
        if !declared.map_err(|error| error.to_string())? {
            return Err(format!("policy.rego: package postern has no rule `{rule}`; a {{kind}} needs one"));
        }
    }
    manifest::read(&mut engine).map(drop).map_err(|problem| format!("policy.rego: {problem}"))
}
