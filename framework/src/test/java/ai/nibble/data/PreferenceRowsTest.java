package ai.nibble.data;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.InvalidInputException;
import ai.nibble.Shared;
import ai.nibble.data.EncodingSettings.ExcessLength;
import ai.nibble.data.EncodingSettings.TrainOnEos;
import ai.nibble.data.format.RowFormat;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.type.TypeReference;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Rows of answers that are judged: how they are read, and what of them carries loss. */
class PreferenceRowsTest {
  @TempDir private Path directory;
  private Tokenizer tokenizer;

  @BeforeEach
  void open() {
    SmallTokenizer.write(directory, false);
    tokenizer = Tokenizer.load(directory);
  }

  @AfterEach
  void close() {
    tokenizer.close();
  }

  private static Row row(String json) {
    try {
      Map<String, Object> columns =
          JsonFiles.mapper().readValue(json.replace('\'', '"'), new TypeReference<>() {});
      return new Row(columns, "f.jsonl:3", 3, Map.of());
    } catch (JsonProcessingException e) {
      throw new AssertionError(e);
    }
  }

  private static Sample read(String format, String json) {
    return RowFormat.named(format).read(row(json));
  }

  private ExampleEncoder encoder(int sequenceLen, ExcessLength excess) {
    EncodingSettings settings =
        new EncodingSettings(true, Set.of("assistant"), TrainOnEos.TURN, sequenceLen, excess);
    ChatTemplate template =
        ChatTemplate.of(SmallTokenizer.CHATML, "t", tokenizer.specialTokens(), Map.of());
    return new ExampleEncoder(tokenizer, template, settings);
  }

  /** Prompt and answer of a sequence, parted by a bar; other changes between the two are shown. */
  private String shown(Example sequence) {
    StringBuilder text = new StringBuilder();
    List<Integer> run = new ArrayList<>();
    for (int i = 0; i < sequence.length(); i++) {
      boolean changes =
          i > 0
              && (sequence.labels()[i] == Example.IGNORED)
                  != (sequence.labels()[i - 1] == Example.IGNORED);
      if (changes) {
        text.append(decode(run)).append('|');
        run.clear();
      }
      run.add(sequence.inputIds()[i]);
    }
    return text.append(decode(run)).toString();
  }

  private String decode(List<Integer> ids) {
    return tokenizer
        .decode(ids.stream().mapToInt(Integer::intValue).toArray(), false)
        .replace("<|im_start|>", "<")
        .replace("<|im_end|>", ">");
  }

  private List<String> encoded(String format, String json) {
    Example example = encoder(1000, ExcessLength.RAISE).encode(read(format, json));
    return example.sequences().stream().map(this::shown).toList();
  }

  /** In seven forms the same pair. */
  @ParameterizedTest
  @CsvSource(
      delimiter = ';',
      quoteCharacter = '`',
      value = {
        "{'conversations': [{'from': 'human', 'value': 'q'}], 'chosen': {'from': 'gpt', 'value':"
            + " 'yes'}, 'rejected': {'from': 'gpt', 'value': 'no'}}",
        "{'prompt': [{'role': 'user', 'content': 'q'}], 'chosen': [{'role': 'assistant', 'content':"
            + " 'yes'}], 'rejected': [{'role': 'assistant', 'content': 'no'}]}",
        "{'chosen': [{'role': 'user', 'content': 'q'}, {'role': 'assistant', 'content': 'yes'}],"
            + " 'rejected': [{'role': 'user', 'content': 'q'}, {'role': 'assistant', 'content':"
            + " 'no'}]}",
        "{'prompt': 'q', 'chosen': [{'role': 'user', 'content': 'q'}, {'role': 'assistant',"
            + " 'content': 'yes'}], 'rejected': [{'role': 'user', 'content': 'q'}, {'role':"
            + " 'assistant', 'content': 'no'}]}",
        "{'messages': [{'role': 'user', 'content': 'q'}], 'chosen': {'role': 'assistant', 'content':"
            + " 'yes'}, 'rejected': {'role': 'assistant', 'content': 'no'}}",
        "{'instruction': 'q', 'chosen': 'yes', 'rejected': 'no'}",
        "{'system': '', 'question': 'q', 'chosen': 'yes', 'rejected': 'no'}",
      })
  void theAnswersCarryLossAndThePromptNeverDoes(String json) {
    assertEquals(
        List.of("<user\nq>\n<assistant\n|yes>|\n", "<user\nq>\n<assistant\n|no>|\n"),
        encoded("preference", json));
  }

  @Test
  void textsNeedNoTemplate() {
    assertEquals(
        List.of("Q: q A:| yes>", "Q: q A:| no>"),
        encoded("preference", "{'prompt': 'Q: q A:', 'chosen': ' yes', 'rejected': ' no'}"));
    assertEquals(
        List.of("Q: q A:| yes>", "Q: q A:| no>"),
        encoded("preference", "{'chosen': 'Q: q A: yes', 'rejected': 'Q: q A: no'}"));
    assertEquals(
        List.of("[1, 2]: |[2, 1]>", "[1, 2]: |[1]>"),
        encoded("preference", "{'prompt': '[1, 2]: ', 'chosen': '[2, 1]', 'rejected': '[1]'}"));
  }

  @Test
  void anAnswerMayHaveSeveralTurns() {
    assertEquals(
        List.of(
            "<user\nq>\n<assistant\n|a>|\n<user\nr>\n<assistant\n|yes>|\n",
            "<user\nq>\n<assistant\n|no>|\n"),
        encoded(
            "preference",
            "{'prompt': [{'role': 'user', 'content': 'q'}], 'chosen': [{'role': 'assistant',"
                + " 'content': 'a'}, {'role': 'user', 'content': 'r'}, {'role': 'assistant',"
                + " 'content': 'yes'}], 'rejected': 'no'}"));
  }

  /** Of what is judged, only the last message is the answer. */
  @ParameterizedTest
  @CsvSource(
      delimiter = ';',
      quoteCharacter = '`',
      value = {
        "{'messages': [{'role': 'user', 'content': 'q'}, {'role': 'assistant', 'content': 'a'},"
            + " {'role': 'user', 'content': 'r'}, {'role': 'assistant', 'content': 'b'}], 'label':"
            + " true}",
        "{'prompt': [{'role': 'user', 'content': 'q'}, {'role': 'assistant', 'content': 'a'},"
            + " {'role': 'user', 'content': 'r'}], 'completion': [{'role': 'assistant', 'content':"
            + " 'b'}], 'label': 1}",
        "{'conversations': [{'from': 'human', 'value': 'q'}, {'from': 'gpt', 'value': 'a'},"
            + " {'from': 'human', 'value': 'r'}, {'from': 'gpt', 'value': 'b'}], 'label': 'True'}",
        "{'question': 'r', 'history': [['q', 'a']], 'completion': 'b', 'label': true}",
        "{'instruction': 'r', 'history': [['q', 'a']], 'completion': 'b', 'label': true}",
      })
  void ofAJudgedConversationTheLastMessageCarriesLoss(String json) {
    Example example = encoder(1000, ExcessLength.RAISE).encode(read("unpaired_preference", json));
    assertEquals(Example.Kind.DESIRABLE, example.kind());
    assertEquals("<user\nq>\n<assistant\na>\n<user\nr>\n<assistant\n|b>|\n", shown(example));
  }

  @Test
  void aBadAnswerIsMarkedAsOne() {
    Sample sample =
        read("unpaired_preference", "{'prompt': 'q ', 'completion': 'b', 'label': false}");
    Example example = encoder(1000, ExcessLength.RAISE).encode(sample);
    assertEquals(Example.Kind.UNDESIRABLE, example.kind());
    assertEquals("q |b>", shown(example));
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "preference | {'prompt': 'q', 'chosen': 'a'} | f.jsonl:3: column 'rejected' is missing, the"
            + " row has [prompt, chosen]; name the right one under columns: {rejected: …}",
        "preference | {'query': 'q', 'chosen': 'yes', 'rejected': 'no'} | f.jsonl:3: column 'prompt'"
            + " is missing, the row has [query, chosen, rejected]; name the right one under columns:"
            + " {prompt: …}",
        "preference | {'chosen': [{'role': 'assistant', 'content': 'yes'}], 'rejected': [{'role':"
            + " 'assistant', 'content': 'no'}]} | f.jsonl:3: column 'prompt' is missing, the row has"
            + " [chosen, rejected]; name the right one under columns: {prompt: …}",
        "preference | {'prompt': 'q', 'chosen': 'a', 'rejected': 7} | f.jsonl:3: column 'rejected' is"
            + " 7, expected a string",
        "preference | {'conversations': [{'from': 'human', 'value': 'q'}], 'chosen': {'from': 'me',"
            + " 'value': 'a'}, 'rejected': 'b'} | f.jsonl:3: column 'chosen.from' is 'me', expected"
            + " one of [assistant, chatgpt, function_call, function_response, gpt, human, model,"
            + " observation, system, tool, user]",
        "preference | {'messages': [{'role': 'user', 'content': 'q'}], 'chosen': {'role':"
            + " 'assistant'}, 'rejected': 'b'} | f.jsonl:3: column 'chosen.content' is null, expected"
            + " a string",
        "preference | {'chosen': [{'role': 'user', 'content': 'q'}], 'rejected': [{'role': 'user',"
            + " 'content': 'q'}, {'role': 'assistant', 'content': 'a'}]} | f.jsonl:3: column 'chosen'"
            + " is [{role=user, content=q}], expected messages that end with an answer: 'rejected'"
            + " goes on",
        "preference | {'prompt': 'p', 'chosen': [{'role': 'user', 'content': 'q'}, {'role':"
            + " 'assistant', 'content': 'a'}], 'rejected': [{'role': 'user', 'content': 'q'},"
            + " {'role': 'assistant', 'content': 'b'}]} | f.jsonl:3: column 'prompt' is 'p', expected"
            + " what 'chosen' and 'rejected' both begin with",
        "unpaired_preference | {'prompt': 'q', 'completion': 'a'} | f.jsonl:3: column 'label' is"
            + " missing, the row has [prompt, completion]; name the right one under columns: {label:"
            + " …}",
        "unpaired_preference | {'prompt': 'q', 'completion': 'a', 'label': 'good'} | f.jsonl:3:"
            + " column 'label' is 'good', expected true (a good answer) or false",
        "unpaired_preference | {'messages': [{'role': 'assistant', 'content': 'a'}], 'label': true} |"
            + " f.jsonl:3: column 'messages' is [{role=assistant, content=a}], expected a prompt and"
            + " an answer behind it",
      })
  void whatIsWrongWithARowIsSaid(String format, String json, String problem) {
    assertEquals(
        problem, assertThrows(InvalidInputException.class, () -> read(format, json)).getMessage());
  }

  private static Iterator<Row> rows(String... json) {
    return List.of(json).stream().map(PreferenceRowsTest::row).iterator();
  }

  private EncodedDataset encodeAll(int sequenceLen, ExcessLength excess, String... json) {
    return EncodedDataset.encode(
        "f", rows(json), RowFormat.named("preference"), encoder(sequenceLen, excess));
  }

  @Test
  void eachSequenceIsCutByItself() {
    String[] rows = {
      "{'prompt': 'pp', 'chosen': 'abcdef', 'rejected': 'a'}",
      "{'prompt': 'pppppppp', 'chosen': 'ab', 'rejected': 'c'}"
    };
    EncodedDataset cut = encodeAll(5, ExcessLength.TRUNCATE, rows);
    assertEquals(1, cut.examples().size()); // the other's answers are cut off whole
    assertEquals(1, cut.summary().withoutLoss());
    assertEquals(2, cut.summary().truncated());
    assertEquals(11, cut.summary().longest());
    Example pair = cut.examples().get(0);
    assertEquals(List.of("pp|abc", "pp|a>"), pair.sequences().stream().map(this::shown).toList());
    assertEquals(1, encodeAll(9, ExcessLength.DROP, rows).examples().size());
    assertTrue(
        assertThrows(InvalidInputException.class, () -> encodeAll(5, ExcessLength.RAISE, rows))
            .getMessage()
            .startsWith("f.jsonl:3: the row has 9 tokens, sequence_len is 5"));
  }

  @Test
  void aPairOfTheSameAnswersIsLeftOutAndCounted() {
    EncodedDataset encoded =
        encodeAll(
            100,
            ExcessLength.RAISE,
            "{'prompt': 'p', 'chosen': 'a', 'rejected': 'a'}",
            "{'prompt': 'p', 'chosen': 'a', 'rejected': 'b'}");
    assertEquals(1, encoded.examples().size());
    assertEquals(
        List.of("1 row left out: the chosen and the rejected answer are the same"),
        encoded.summary().lines().subList(1, 2));
    assertEquals(
        "f: 0 usable rows of 1 (0 too long, 0 without a token that carries loss, 1 with two answers"
            + " that are the same); check the file, roles_to_train and sequence_len",
        assertThrows(
                InvalidInputException.class,
                () ->
                    encodeAll(
                        100, ExcessLength.RAISE, "{'prompt': 'p', 'chosen': 'a', 'rejected': 'a'}"))
            .getMessage());
  }

  @Test
  void aBatchHasTwoSequencesOfAPair() {
    Example plain = new Example(new int[] {1, 2, 3}, new int[] {-100, 2, 3});
    Example pair =
        Example.pair(plain, new Example(new int[] {1, 9}, new int[] {-100, 9}))
            .withReference(new double[] {-1, -2});
    Batch batch = Batch.of(List.of(pair, pair));
    assertArrayEquals(new int[] {0, 3, 5, 8, 10}, batch.sequenceStarts());
    assertArrayEquals(new int[] {0, 1, 3, 5, 6, 8}, batch.lossPositions());
    assertArrayEquals(new double[] {-1, -2, -1, -2}, batch.reference());
    assertEquals(2, batch.rows());
    assertEquals(3, pair.lossTokens());
    assertEquals(0, Batch.of(List.of(pair, Example.pair(plain, plain))).reference().length);
    assertFalse(pair.isAlike());
    assertTrue(Example.pair(plain, plain).isAlike());
  }

  @Test
  void theDemonstrationsOfOthersAreRead() {
    Path pairs = Shared.path("data/dpo_en_demo.json");
    Path judged = Shared.path("data/kto_en_demo.json");
    assertEquals(300, count(pairs, "preference"));
    assertEquals(300, count(judged, "unpaired_preference"));
  }

  private static int count(Path file, String format) {
    int count = 0;
    try (RowFile rows = new RowFile(file, Map.of())) {
      while (rows.hasNext()) {
        RowFormat.named(format).read(rows.next());
        count++;
      }
    }
    return count;
  }
}
