//! Prints the published Go templates as JSON, for the program that records their prompts.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let templates = llamakit_chattests::go_templates::published()?;
    let templates: Vec<_> = templates
        .into_iter()
        .map(|one| serde_json::json!({"Name": one.name, "Source": one.source, "Full": one.full}))
        .collect();
    serde_json::to_writer(std::io::stdout().lock(), &templates)?;
    Ok(())
}
