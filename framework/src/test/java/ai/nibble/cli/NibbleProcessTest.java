package ai.nibble.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.TinyChat;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What only a process of its own shows: set-up that fails, and a locale that knows ASCII alone. */
final class NibbleProcessTest {
  @TempDir Path temp;

  private record Ran(int code, String out, String err) {}

  private Ran nibble(Map<String, String> environment, String... args)
      throws IOException, InterruptedException {
    return nibble("", environment, args);
  }

  /**
   * @param input what standard input holds
   */
  private Ran nibble(String input, Map<String, String> environment, String... args)
      throws IOException, InterruptedException {
    Path in = Files.writeString(temp.resolve("stdin"), input);
    Path java = Path.of(System.getProperty("java.home"), "bin", "java");
    List<String> command = new ArrayList<>(List.of(java.toString(), "-cp"));
    command.add(System.getProperty("java.class.path"));
    command.add(Nibble.class.getName());
    command.addAll(List.of(args));
    Path out = temp.resolve("stdout");
    Path err = temp.resolve("stderr");
    ProcessBuilder builder =
        new ProcessBuilder(command)
            .directory(temp.toFile())
            .redirectInput(in.toFile())
            .redirectOutput(out.toFile())
            .redirectError(err.toFile());
    builder.environment().putAll(environment);
    Process process = builder.start();
    assertTrue(process.waitFor(120, TimeUnit.SECONDS));
    return new Ran(
        process.exitValue(),
        Files.readString(out, StandardCharsets.UTF_8),
        Files.readString(err, StandardCharsets.UTF_8));
  }

  @Test
  void aLibtorchThatIsNotThereIsOneLineAndExit2() throws Exception {
    TinyChat.write(temp.resolve("chat"));
    Map<String, String> environment = Map.of("NIBBLE_LIBTORCH", temp + "/none");
    Ran ran = nibble(environment, "generate", "--model", "chat", "--prompt", "a");
    assertEquals(2, ran.code, ran.err);
    List<String> lines = ran.err.lines().toList();
    assertTrue(lines.stream().noneMatch(line -> line.startsWith("\tat ")), ran.err);
    assertEquals(
        "error: NIBBLE_LIBTORCH is '"
            + temp
            + "/none', which holds no libtorch_cpu.so: name the directory that has it (torch/lib of"
            + " a Python installation, or lib of a libtorch download)",
        lines.get(lines.size() - 1));
  }

  @Test
  void trainingPrintsUtf8WhateverTheLocaleSays() throws Exception {
    TinyChat.write(temp.resolve("chat"));
    String row =
        "{\"messages\": [{\"role\": \"user\", \"content\": \"größe\"},"
            + " {\"role\": \"assistant\", \"content\": \"b\"}]}\n";
    Files.writeString(temp.resolve("rows.jsonl"), row);
    Files.writeString(
        temp.resolve("a.yaml"),
        "base_model: chat\ndatasets: [{path: rows.jsonl, type: messages}]\nlearning_rate: 0.01\n"
            + "sequence_len: 64\nmax_steps: 1\nlora_r: 4\noutput_dir: out\n"
            + "generation_eval: {path: rows.jsonl, max_new_tokens: 1}\n");
    Ran ran = nibble(Map.of("LC_ALL", "C"), "train", "--config", "a.yaml");
    assertEquals(0, ran.code, ran.err);
    assertTrue(ran.out.contains("  request   größe\n"), ran.out);
    assertTrue(ran.out.contains("--prompt 'größe'\n"), ran.out);
  }

  @Test
  void aChatReadsUtf8FromAPipeAndEndsWithIt() throws Exception {
    TinyChat.write(temp.resolve("chat"));
    String typed = "größe\n/save saved.jsonl\nno newline at the end";
    String[] args = {
      "chat", "--model", "chat", "--max-new-tokens", "3", "--compute-dtype", "float32", "--verbose"
    };
    Ran ran = nibble(typed, Map.of("LC_ALL", "C"), args);
    assertEquals(0, ran.code, ran.err);
    assertEquals(2, ran.err.lines().filter(l -> l.contains("tokens/s")).count(), ran.err);
    String saved = Files.readString(temp.resolve("saved.jsonl"));
    assertTrue(
        saved.startsWith("{\"messages\":[{\"role\":\"user\",\"content\":\"größe\"},"), saved);
    Ran none = nibble("", Map.of(), args);
    assertEquals(0, none.code, none.err);
    assertEquals("", none.out);
  }

  private static void await(Path file, String text) throws Exception {
    for (int i = 0; i < 1200 && !Files.readString(file).contains(text); i++) {
      Thread.sleep(50);
    }
    assertTrue(Files.readString(file).contains(text), file + ": " + Files.readString(file));
  }

  private static void interrupt(Process process) throws Exception {
    String pid = Long.toString(process.pid());
    assertEquals(0, new ProcessBuilder("kill", "-INT", pid).start().waitFor());
  }

  @Test
  void anInterruptCancelsAnAnswerAndASecondOneEndsTheChat() throws Exception {
    // an answer of minutes, as it never ends by itself
    Path chat = TinyChat.writing("ab\n", temp.resolve("chat"));
    Path config = chat.resolve("config.json");
    Files.writeString(config, Files.readString(config).replace("512", "200000"));
    Path java = Path.of(System.getProperty("java.home"), "bin", "java");
    Path err = Files.createFile(temp.resolve("err"));
    Process process =
        new ProcessBuilder(
                java.toString(),
                "-cp",
                System.getProperty("java.class.path"),
                Nibble.class.getName(),
                "chat",
                "--model",
                chat.toString(),
                "--verbose",
                "--compute-dtype",
                "float32",
                "--max-new-tokens",
                "190000",
                "--greedy")
            .redirectError(err.toFile())
            .start();
    try {
      // the first byte of an answer says that it has begun
      process.outputWriter().append("a\n").flush();
      assertTrue(process.getInputStream().read() >= 0);
      interrupt(process);
      await(err, "cancelled");
      assertTrue(process.isAlive());
      process.outputWriter().append("b\n/reset\n").flush();
      process.getInputStream().readNBytes(process.getInputStream().available() + 1);
      Thread drain = new Thread(() -> drain(process));
      drain.start();
      interrupt(process);
      await(err, "begins anew");
      process.outputWriter().append("c\n").flush();
      Thread.sleep(300);
      interrupt(process);
      Thread.sleep(100);
      interrupt(process);
      interrupt(process);
      assertTrue(process.waitFor(60, TimeUnit.SECONDS));
      assertEquals(130, process.exitValue());
    } finally {
      process.destroyForcibly();
    }
  }

  private static void drain(Process process) {
    try {
      process.getInputStream().readAllBytes();
    } catch (IOException e) {
      // the process is gone
    }
  }
}
