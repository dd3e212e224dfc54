# Builds from the newest sources: brew install --HEAD ./llamakit-ollama.rb
class LlamakitOllama < Formula
  desc "Runs large language models, with Ollama's commands and API"
  homepage "https://github.com/llamakit/llamakit"
  license any_of: ["MIT", "Apache-2.0"]
  head "https://github.com/llamakit/llamakit.git", branch: "main"

  depends_on "rust" => :build

  conflicts_with "ollama", because: "both install a program named ollama"

  def install
    system "cargo", "install", *std_cargo_args(path: "examples/ollama")
    generate_completions_from_executable(bin/"ollama", "completion", shells: [:bash, :zsh, :fish])
  end

  service do
    run [opt_bin/"ollama", "serve"]
    keep_alive true
    working_dir var
    log_path var/"log/llamakit-ollama.log"
    error_log_path var/"log/llamakit-ollama.log"
    environment_variables OLLAMA_HOST: "127.0.0.1:11434"
  end

  test do
    assert_match "ollama version is", shell_output("#{bin}/ollama --version")

    port = free_port
    ENV["OLLAMA_HOST"] = "127.0.0.1:#{port}"
    ENV["OLLAMA_MODELS"] = testpath/"models"
    pid = spawn bin/"ollama", "serve"
    begin
      assert_equal "ok", shell_output("curl --retry 5 --retry-connrefused --silent http://127.0.0.1:#{port}/livez")
    ensure
      Process.kill "TERM", pid
      Process.wait pid
    end
  end
end
