package ai.nibble.cli;

import ai.nibble.tensor.DType;
import java.nio.file.Path;
import java.util.Optional;

/**
 * What {@code nibble generate} is asked for.
 *
 * @param model the base: a directory or GGUF file; empty: what the adapter names
 * @param adapter a PEFT directory
 * @param prompt one prompt, or else {@code promptsFile}
 * @param promptsFile rows of prompts
 * @param system the system's turn before the user's
 * @param raw whether the prompt is text to go on from rather than a user's turn
 * @param loadIn4bit whether to hold the base in NF4; else as the adapter was trained, or as stored
 * @param computeDtype empty: as the adapter was trained, or what suits this machine
 */
record GenerateRequest(
    Optional<Path> model,
    Optional<Path> adapter,
    Optional<String> prompt,
    Optional<Path> promptsFile,
    Optional<String> system,
    boolean raw,
    int maxNewTokens,
    boolean loadIn4bit,
    Optional<DType> computeDtype) {}
