package ai.nibble.model;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.InvalidInputException;
import ai.nibble.Shared;
import ai.nibble.model.DecoderForm.ExpertsForm;
import ai.nibble.model.DecoderForm.LayerAttention;
import ai.nibble.model.DecoderForm.Norms;
import ai.nibble.model.DecoderForm.Projections;
import ai.nibble.model.DecoderForm.Rope;
import ai.nibble.model.DecoderForm.Scales;
import ai.nibble.nn.Activation;
import ai.nibble.nn.NormScale;
import ai.nibble.tensor.DType;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.OptionalInt;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

final class ModelConfigTest {
  @TempDir private Path folder;
  private final List<String> notices = new ArrayList<>();

  /** The numbers are those of {@code LlamaConfig()} in transformers 5.23. */
  @Test
  void whatIsAbsentIsWhatLlamaConfigSays() {
    ModelConfig config = parse("");
    assertEquals("LlamaForCausalLM", config.architecture().className());
    assertEquals(32000, config.vocabSize());
    assertEquals(4096, config.hiddenSize());
    assertEquals(11008, config.intermediateSize());
    assertEquals(32, config.numHiddenLayers());
    assertEquals(32, config.numAttentionHeads());
    assertEquals(32, config.numKeyValueHeads());
    assertEquals(128, config.headDim());
    assertEquals("silu", config.hiddenAct());
    assertEquals(2048, config.maxPositionEmbeddings());
    assertEquals(1e-6, config.rmsNormEps());
    assertEquals(10_000, config.ropeTheta());
    assertEquals(new RopeScaling.Default(), config.ropeScaling());
    assertFalse(config.tieWordEmbeddings());
    assertEquals(
        DecoderForm.plain(
            Projections.PLAIN, Activation.SILU, DecoderForm.everywhere(DecoderForm.FULL, 32)),
        config.form());
    assertEquals(DType.FLOAT32, config.dtype());
    assertEquals(OptionalInt.of(1), config.bosTokenId());
    assertEquals(List.of(2), config.eosTokenIds());
    assertEquals(OptionalInt.empty(), config.padTokenId());
    assertEquals(List.of(), notices);
  }

  private ModelConfig only(String modelType, String fields) {
    String more = fields.isEmpty() ? "" : ", " + fields.replace('\'', '"');
    return read("{\"model_type\": \"" + modelType + "\"" + more + "}");
  }

  private static List<OptionalInt> windows(ModelConfig config) {
    return config.form().layers().stream().map(LayerAttention::slidingWindow).toList();
  }

  /** The numbers are those of the families' configuration classes in transformers 5.23. */
  @Test
  void whatIsAbsentIsWhatTheFamilySays() {
    ModelConfig mistral = only("mistral", "");
    assertEquals(14336, mistral.intermediateSize());
    assertEquals(8, mistral.numKeyValueHeads());
    assertEquals(131072, mistral.maxPositionEmbeddings());
    assertEquals(Collections.nCopies(32, OptionalInt.of(4096)), windows(mistral));
    ModelConfig qwen2 = only("qwen2", "");
    assertEquals(151936, qwen2.vocabSize());
    assertEquals(22016, qwen2.intermediateSize());
    assertEquals(32, qwen2.numKeyValueHeads());
    assertEquals(32768, qwen2.maxPositionEmbeddings());
    assertEquals(OptionalInt.empty(), qwen2.bosTokenId());
    assertEquals(List.of(), qwen2.eosTokenIds());
    assertEquals(new Projections(true, false, false), qwen2.form().projections());
    assertEquals(OptionalInt.empty(), qwen2.form().slidingWindow());
    ModelConfig qwen3 =
        only("qwen3", "'hidden_size': 1024, 'num_attention_heads': 16, 'num_key_value_heads': 8");
    assertEquals(128, qwen3.headDim());
    assertEquals(Norms.Heads.EACH, qwen3.form().norms().heads());
    assertEquals(Projections.PLAIN, qwen3.form().projections());
    ModelConfig smolLm3 = only("smollm3", "");
    assertEquals(2e6, smolLm3.ropeTheta());
    assertTrue(smolLm3.tieWordEmbeddings());
    assertEquals(OptionalInt.of(128004), smolLm3.padTokenId());
    List<Boolean> rotary = smolLm3.form().layers().stream().map(LayerAttention::rotary).toList();
    assertEquals(36, rotary.size());
    for (int i = 0; i < 36; i++) {
      assertEquals(i % 4 != 3, rotary.get(i), "layer " + i);
    }
    assertEquals(List.of(), notices);
  }

  /** The numbers are those of {@code Gemma2Config()} in transformers 5.23. */
  @Test
  void whatIsAbsentIsWhatGemmaSays() {
    ModelConfig gemma = only("gemma2", "");
    assertEquals(256000, gemma.vocabSize());
    assertEquals(256, gemma.headDim());
    assertEquals("gelu_pytorch_tanh", gemma.hiddenAct());
    assertTrue(gemma.tieWordEmbeddings());
    assertEquals(OptionalInt.of(0), gemma.padTokenId());
    assertEquals(
        new Norms(Norms.Place.AROUND, Norms.Heads.NONE, NormScale.OFFSET), gemma.form().norms());
    assertEquals(
        new Scales(true, OptionalDouble.of(1 / 16.0), OptionalDouble.of(50), OptionalDouble.of(30)),
        gemma.form().scales());
    for (int i = 0; i < 26; i++) {
      assertEquals(i % 2 == 0, windows(gemma).get(i).isPresent(), "layer " + i);
    }
    assertEquals(List.of(), notices);
    ModelConfig uncapped =
        only("gemma2", "'attn_logit_softcapping': null, 'final_logit_softcapping': null");
    assertEquals(OptionalDouble.empty(), uncapped.form().scales().scoreCap());
    assertEquals(OptionalDouble.empty(), uncapped.form().scales().logitCap());
    // files of 2024 name both, of which the first decides nothing
    only("gemma2", "'hidden_act': 'gelu', 'hidden_activation': 'gelu_pytorch_tanh'");
    assertEquals(List.of(), notices);
  }

  /** The numbers are those of {@code Gemma3TextConfig()} in transformers 5.23. */
  @Test
  void layersOfGemma3ThatSlideRotateByTheirOwnFrequencies() {
    ModelConfig gemma = only("gemma3_text", "");
    assertEquals(262208, gemma.vocabSize());
    assertEquals(1e6, gemma.ropeTheta());
    Rope local = new Rope(1e4, new RopeScaling.Default());
    assertEquals(Optional.of(local), gemma.form().slidingRope());
    assertEquals(OptionalDouble.empty(), gemma.form().scales().logitCap());
    for (int i = 0; i < 26; i++) {
      assertEquals(i % 6 != 5, windows(gemma).get(i).isPresent(), "layer " + i);
    }
    ModelConfig older =
        only(
            "gemma3_text",
            "'rope_theta': 2e6, 'rope_local_base_freq': 3e4, 'rope_scaling': {'rope_type':"
                + " 'linear', 'factor': 8}");
    ModelConfig newer =
        only(
            "gemma3_text",
            "'rope_parameters': {'full_attention': {'rope_type': 'linear', 'factor': 8.0,"
                + " 'rope_theta': 2e6}, 'sliding_attention': {'rope_type': 'default',"
                + " 'rope_theta': 3e4}}");
    assertEquals(older, newer);
    assertEquals(new RopeScaling.Linear(8), newer.ropeScaling());
    assertEquals(Optional.of(new Rope(3e4, new RopeScaling.Default())), newer.form().slidingRope());
    assertEquals(List.of(), notices);
  }

  /** The numbers are those of {@code Phi3Config()} in transformers 5.23. */
  @Test
  void phi3StretchesByLongRope() {
    ModelConfig phi = only("phi3", "");
    assertEquals(32064, phi.vocabSize());
    assertEquals(1e-5, phi.rmsNormEps());
    assertEquals(96, phi.rotaryDim());
    assertTrue(phi.form().projections().fused());
    assertEquals(OptionalInt.empty(), phi.form().slidingWindow());
    assertEquals(new RopeScaling.Default(), phi.ropeScaling());
    String factors = "'short_factor': [1.0, 2], 'long_factor': [3.0, 4.5]";
    String sizes = "'hidden_size': 32, 'num_attention_heads': 4, 'partial_rotary_factor': 0.5, ";
    ModelConfig stretched =
        only(
            "phi3",
            sizes
                + "'max_position_embeddings': 131072, 'rope_scaling': {'type': 'su', "
                + factors
                + "}");
    assertEquals(4, stretched.rotaryDim());
    assertEquals(
        new RopeScaling.LongRope(
            List.of(1.0, 2.0),
            List.of(3.0, 4.5),
            Math.sqrt(1 + Math.log(32) / Math.log(4096)),
            4096),
        stretched.ropeScaling());
    assertEquals(List.of(), notices);
  }

  /** The numbers are those of {@code Olmo2Config()} in transformers 5.23. */
  @Test
  void whatIsAbsentIsWhatOlmo2Says() {
    ModelConfig olmo = only("olmo2", "");
    assertEquals(50304, olmo.vocabSize());
    assertEquals(32, olmo.numKeyValueHeads());
    assertEquals(List.of(50279), olmo.eosTokenIds());
    assertEquals(OptionalInt.of(1), olmo.padTokenId());
    assertEquals(
        new Norms(Norms.Place.AFTER, Norms.Heads.ALL, NormScale.EXACT), olmo.form().norms());
    assertEquals(List.of(), notices);
  }

  /** The numbers are those of {@code Qwen3MoeConfig()} and {@code MixtralConfig()}. */
  @Test
  void mixturesOfExpertsAreWhereTheFamilyHasThem() {
    ModelConfig qwen = only("qwen3_moe", "'num_hidden_layers': 4, 'decoder_sparse_step': 2");
    ExpertsForm experts = qwen.form().experts().orElseThrow();
    assertEquals(List.of(false, true, false, true), experts.layers());
    assertEquals(128, experts.count());
    assertEquals(8, experts.perToken());
    assertEquals(768, experts.intermediateSize());
    assertFalse(experts.sumToOne());
    ModelConfig some =
        only("qwen3_moe", "'num_hidden_layers': 3, 'mlp_only_layers': [1], 'num_experts': 9");
    assertEquals(List.of(true, false, true), some.form().experts().orElseThrow().layers());
    assertEquals(3 * 4 + 2 * 9 * 3 + 3, CausalLm.linearPaths(some).size());
    ModelConfig mixtral = only("mixtral", "");
    assertEquals(14336, mixtral.form().experts().orElseThrow().intermediateSize());
    assertTrue(mixtral.form().experts().orElseThrow().sumToOne());
    assertEquals(OptionalInt.empty(), mixtral.form().slidingWindow());
    assertTrue(
        CausalLm.linearPaths(mixtral).contains("model.layers.31.block_sparse_moe.experts.7.w3"));
    assertFalse(CausalLm.linearPaths(mixtral).contains("model.layers.0.block_sparse_moe.gate"));
    assertEquals(List.of(), notices);
  }

  /** As {@code google/gemma-3-4b-it} has it. */
  @Test
  void theTextModelOfOneThatSeesImagesIsRead() {
    ModelConfig text =
        read(
            """
            {"architectures": ["Gemma3ForConditionalGeneration"], "model_type": "gemma3",
              "eos_token_id": [1, 106], "torch_dtype": "bfloat16", "image_token_index": 262144,
              "text_config": {"hidden_size": 2560, "intermediate_size": 10240,
                "model_type": "gemma3_text", "num_hidden_layers": 34, "sliding_window": 1024,
                "rope_scaling": {"factor": 8.0, "rope_type": "linear"}},
              "vision_config": {"hidden_size": 1152}}""");
    assertEquals("Gemma3ForCausalLM", text.architecture().className());
    assertEquals(34, text.numHiddenLayers());
    assertEquals(DType.BFLOAT16, text.dtype());
    assertEquals(List.of(1, 106), text.eosTokenIds());
    assertEquals(new RopeScaling.Linear(8), text.ropeScaling());
    assertEquals(1, notices.size(), notices.toString());
    assertTrue(notices.get(0).contains("of which the text model alone is read: gemma3_text"));
  }

  @Test
  void windowsAreWhereTheFamilyHasThem() {
    assertEquals(
        OptionalInt.empty(), only("mistral", "'sliding_window': null").form().slidingWindow());
    OptionalInt none = OptionalInt.empty();
    OptionalInt nine = OptionalInt.of(9);
    String three = "'num_hidden_layers': 3, 'sliding_window': 9, ";
    assertEquals(
        List.of(none, nine, nine),
        windows(only("qwen2", three + "'use_sliding_window': true, 'max_window_layers': 1")));
    assertEquals(
        List.of(none, none, none),
        windows(only("qwen3", three + "'use_sliding_window': false, 'max_window_layers': 1")));
    assertEquals(
        List.of(nine, none, nine),
        windows(
            only(
                "qwen3",
                three
                    + "'use_sliding_window': true, 'layer_types': ['sliding_attention',"
                    + " 'full_attention', 'sliding_attention']")));
    assertEquals(
        List.of(none, nine, none),
        windows(
            only("smollm3", three + "'use_sliding_window': true, 'no_rope_layer_interval': 2")));
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      quoteCharacter = '~',
      value = {
        "mistral|'sliding_window': 0|'sliding_window' is 0, expected null or an integer from 1 up",
        "mistral|'sliding_window': 2.5|'sliding_window' is 2.5, expected an integer or null",
        "qwen2|'num_hidden_layers': 2, 'layer_types': ['full_attention']|'layer_types' is"
            + " [~full_attention~], expected for each of the 2 layers one of 'full_attention' and"
            + " 'sliding_attention'",
        "qwen2|'num_hidden_layers': 1, 'layer_types': ['chunked_attention']|'layer_types' is"
            + " [~chunked_attention~], expected for each of the 1 layers one of 'full_attention'"
            + " and 'sliding_attention'",
        "qwen3|'num_hidden_layers': 1, 'layer_types': ['sliding_attention']|'layer_types' is"
            + " [~sliding_attention~], expected 'full_attention' alone, as 'use_sliding_window' is"
            + " false and 'sliding_window' is 4096",
        "qwen3|'attention_bias': 1|'attention_bias' is 1, expected true or false",
        "smollm3|'num_hidden_layers': 2, 'no_rope_layers': [1]|'no_rope_layers' is [1], expected"
            + " for each of the 2 layers 1 (rotates) or 0 (does not)",
        "smollm3|'num_hidden_layers': 1, 'no_rope_layers': [2]|'no_rope_layers' is [2], expected"
            + " for each of the 1 layers 1 (rotates) or 0 (does not)",
        "smollm3|'no_rope_layers': 'all'|'no_rope_layers' is ~all~, expected a list of integers",
        "gemma2|'hidden_activation': 'gelu'|'hidden_activation' is ~gelu~, expected"
            + " 'gelu_pytorch_tanh'",
        "gemma2|'use_bidirectional_attention': true|'use_bidirectional_attention' is true,"
            + " expected false or null: attention here is causal",
        "gemma2|'attn_logit_softcapping': 0|'attn_logit_softcapping' is 0, expected null or a"
            + " finite number above 0",
        "gemma2|'query_pre_attn_scalar': -1|'query_pre_attn_scalar' is -1, expected a finite"
            + " number above 0",
        "gemma2|'sliding_window': null, 'num_hidden_layers': 1, 'layer_types':"
            + " ['sliding_attention']|'layer_types' is [~sliding_attention~], expected"
            + " 'full_attention' alone, as 'sliding_window' is none",
        "gemma3_text|'sliding_window_pattern': 0|'sliding_window_pattern' is 0, expected an"
            + " integer from 1 up",
        "gemma3_text|'rope_parameters': {'rope_theta': 1e5}|'rope_parameters' is"
            + " {~rope_theta~:100000.0}, expected an object for each of [full_attention,"
            + " sliding_attention]",
        "gemma3_text|'rope_local_base_freq': 0.5|the base of the rotary frequencies of layers that"
            + " slide is 0.5, expected a finite number above 1",
        "phi3|'partial_rotary_factor': 0|'partial_rotary_factor' is 0, expected a number above 0,"
            + " up to 1",
        "phi3|'rope_scaling': {'rope_type': 'longrope', 'short_factor': [1], 'long_factor': 7}|"
            + "'rope_scaling.long_factor' is 7, expected a list of numbers",
        "phi3|'rope_scaling': {'type': 'linear', 'factor': 2}|'rope_scaling.type' is ~linear~,"
            + " expected one of [default, longrope, su, yarn]",
        "mixtral|'output_router_logits': true|'output_router_logits' is true, expected false: the"
            + " router's auxiliary loss is not supported, training would leave it out",
        "qwen3_moe|'decoder_sparse_step': 0|'decoder_sparse_step' is 0, expected an integer from 1"
            + " up",
        "mixtral|'num_experts_per_tok': 9|9 of 8 experts compute a token, expected from 1 up to all"
            + " of at most 4096",
        "mixtral|'router_jitter_noise': 0.1|'router_jitter_noise' is 0.1, expected 0: tokens are"
            + " routed without noise",
        "smollm3|'no_rope_layer_interval': 0|'no_rope_layer_interval' is 0, expected an integer"
            + " from 1 up"
      })
  void whatAFamilyCannotHaveIsRefusedInOneLine(String modelType, String field, String problem) {
    InvalidInputException e =
        assertThrows(InvalidInputException.class, () -> only(modelType, field));
    assertEquals(
        List.of(folder.resolve("config.json") + ": " + problem.replace('~', '"')), e.problems());
  }

  @Test
  void olderAndNewerFormSayTheSame() {
    ModelConfig older =
        parse(
            """
            "rope_theta": 500000.0, "torch_dtype": "bfloat16",
            "rope_scaling": {"type": "llama3", "factor": 8.0, "low_freq_factor": 1.0,
              "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}""");
    ModelConfig newer =
        parse(
            """
            "dtype": "bfloat16",
            "rope_parameters": {"rope_type": "llama3", "rope_theta": 500000.0, "factor": 8.0,
              "low_freq_factor": 1.0, "high_freq_factor": 4.0,
              "original_max_position_embeddings": 8192}""");
    assertEquals(older, newer);
    assertEquals(DType.BFLOAT16, newer.dtype());
    assertEquals(500_000, newer.ropeTheta());
    assertEquals(new RopeScaling.Llama3(8, 1, 4, 8192), newer.ropeScaling());
  }

  @Test
  void theValueInsideWinsOverTheOneOutside() {
    assertEquals(
        7e5, parse("'rope_theta': 3.0, 'rope_parameters': {'rope_theta': 7e5}").ropeTheta());
    assertEquals(DType.FLOAT16, parse("'torch_dtype': 'bfloat16', 'dtype': 'float16'").dtype());
  }

  @Test
  void yarnFieldsHaveTransformersDefaults() {
    ModelConfig config =
        parse("'max_position_embeddings': 8192, 'rope_scaling': {'type': 'yarn', 'factor': 4}");
    assertEquals(
        new RopeScaling.Yarn(4, OptionalDouble.empty(), 32, 1, 0, 0, 8192, true),
        config.ropeScaling());
    assertTrue(notices.get(0).contains("'rope_scaling.original_max_position_embeddings'"));
  }

  @Test
  void severalEndTokensAreKept() {
    assertEquals(List.of(5, 7), parse("'eos_token_id': [5, 7]").eosTokenIds());
    assertEquals(List.of(), parse("'eos_token_id': null").eosTokenIds());
    assertEquals(OptionalInt.empty(), parse("'bos_token_id': null").bosTokenId());
  }

  @Test
  void aPaddingOfMinusOneIsNone() {
    assertEquals(OptionalInt.empty(), parse("'pad_token_id': -1").padTokenId());
    assertTrue(notices.get(0).endsWith("'pad_token_id' is -1: taken as none"), notices.toString());
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "'auto_map': {'AutoModelForCausalLM': 'x--evil.Model'}",
        "'trust_remote_code': true",
        "'_attn_implementation_internal': 'someone/kernel'",
        "'attn_implementation': 'someone/kernel'"
      })
  void aFieldThatNamesCodeIsIgnoredWithANotice(String field) {
    assertEquals(parse(""), parse(field));
    assertEquals(1, notices.size(), notices.toString());
    assertTrue(notices.get(0).contains("ignored, a model's files never choose code"));
  }

  @Test
  void fieldsWithoutEffectAreNamed() {
    parse("'sliding_window': 24, 'use_cache': true");
    assertEquals(1, notices.size());
    assertTrue(notices.get(0).endsWith(": fields without effect here: sliding_window"));
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      quoteCharacter = '~',
      value = {
        "'hidden_size': 100, 'num_attention_heads': 8|'hidden_size' is 100, expected a multiple of"
            + " 'num_attention_heads', which is 8",
        "'num_key_value_heads': 5|'num_attention_heads' is 32, expected a multiple of"
            + " 'num_key_value_heads', which is 5",
        "'num_hidden_layers': 2147483647|'num_hidden_layers' is 2147483647, expected an integer"
            + " from 1 to 4096",
        "'vocab_size': 2147483647|'vocab_size' is 2147483647, expected an integer from 1 to"
            + " 16777216",
        "'vocab_size': 99999999999999999999|'vocab_size' is 99999999999999999999, expected an"
            + " integer",
        "'vocab_size': -1|'vocab_size' is -1, expected an integer from 1 to 16777216",
        "'hidden_size': 64.0|'hidden_size' is 64.0, expected an integer",
        "'hidden_size': null|'hidden_size' is null, expected an integer",
        "'hidden_size': '64'|'hidden_size' is ~64~, expected an integer",
        "'num_attention_heads': 0|'num_attention_heads' is 0, expected an integer from 1 to 16384",
        "'head_dim': 7|'head_dim' is 7, expected an even number: rotary pairs halves",
        "'rms_norm_eps': 0|'rms_norm_eps' is 0.0, expected a number between 0 and 1",
        "'rms_norm_eps': 1e999|'rms_norm_eps' is Infinity, expected a number between 0 and 1",
        "'rope_theta': 1e300|'rope_theta' is 1.0E300, expected a finite number above 1",
        "'rope_theta': null|'rope_theta' is null, expected a number",
        "'tie_word_embeddings': 1|'tie_word_embeddings' is 1, expected true or false",
        "'eos_token_id': [2, 32000]|'eos_token_id' is 32000, expected null or an id below"
            + " 'vocab_size', which is 32000",
        "'dtype': 'int8'|'dtype' is ~int8~, expected one of [float32, bfloat16, float16, float64]",
        "'hidden_act': 'gelu'|'hidden_act' is ~gelu~, expected 'silu' (or its other name 'swish')",
        "'partial_rotary_factor': 0.5|'partial_rotary_factor' is 0.5, expected 1: this"
            + " architecture rotates the whole head",
        "'rope_scaling': {'type': 'su', 'factor': 2}|'rope_scaling.type' is ~su~, expected one of"
            + " [default, linear, llama3, yarn]",
        "'rope_parameters': {'rope_type': 'dynamic', 'factor': 2}|'rope_parameters.rope_type' is"
            + " ~dynamic~, expected one of [default, linear, llama3, yarn]",
        "'rope_scaling': {'factor': 2}|'rope_scaling.rope_type' is missing, expected one of"
            + " [default, linear, llama3, yarn]",
        "'rope_scaling': {'type': 'linear', 'rope_type': 'default'}|'rope_scaling.type' is"
            + " ~linear~, expected the same as 'rope_type', which is 'default'",
        "'rope_scaling': {'type': 'linear'}|'rope_scaling.factor' is missing, expected a number",
        "'rope_scaling': {'type': 'linear', 'factor': 0}|'rope_scaling.factor' is 0.0, expected a"
            + " finite number above 0",
        "'rope_scaling': 'linear'|'rope_scaling' is ~linear~, expected an object or null",
        "'quantization_config': {'quant_method': 'hqq'}|'quantization_config.quant_method' is 'hqq',"
            + " which cannot be read, expected one of [bitsandbytes, gptq, awq]: use the original"
            + " model, in 16 bits, or one quantised so",
        "'quantization_config': 4|'quantization_config' is 4, expected an object or null"
      })
  void aValueNoModelCanHaveIsRefusedInOneLine(String field, String problem) {
    InvalidInputException e = assertThrows(InvalidInputException.class, () -> parse(field));
    assertEquals(
        List.of(folder.resolve("config.json") + ": " + problem.replace('~', '"')), e.problems());
  }

  @Test
  void allProblemsAreReportedTogether() {
    InvalidInputException types =
        assertThrows(
            InvalidInputException.class,
            () -> parse("'hidden_size': 'a', 'mlp_bias': 0, 'rope_scaling': {'type': 'yarn'}"));
    assertEquals(3, types.problems().size(), types.getMessage());
    InvalidInputException ranges =
        assertThrows(
            InvalidInputException.class,
            () ->
                parse(
                    "'vocab_size': 0, 'bos_token_id': null, 'eos_token_id': null, 'head_dim': 3"));
    assertEquals(2, ranges.problems().size(), ranges.getMessage());
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "{'architectures': ['GPT2LMHeadModel'], 'model_type': 'gpt2'}",
        "{'architectures': ['LlamaForSequenceClassification'], 'model_type': 'llama'}",
        "{'architectures': ['LlamaForCausalLM'], 'model_type': 'mistral'}",
        "{'architectures': ['PhimoeForCausalLM'], 'model_type': 'phimoe'}",
        "{'architectures': ['LlamaForCausalLM', 'Other'], 'model_type': 'llama'}",
        "{'architectures': null, 'hidden_size': 64}",
        "{}"
      })
  void anUnknownArchitectureListsTheSupportedOnes(String json) {
    InvalidInputException e =
        assertThrows(InvalidInputException.class, () -> read(json.replace('\'', '"')));
    assertEquals(1, e.problems().size());
    assertTrue(
        e.getMessage()
            .endsWith(
                "expected a supported one: LlamaForCausalLM (llama), MistralForCausalLM (mistral),"
                    + " Qwen2ForCausalLM (qwen2), Qwen3ForCausalLM (qwen3), SmolLM3ForCausalLM"
                    + " (smollm3), Gemma2ForCausalLM (gemma2), Gemma3ForCausalLM"
                    + " (gemma3_text), Phi3ForCausalLM (phi3),"
                    + " Olmo2ForCausalLM (olmo2), MixtralForCausalLM (mixtral),"
                    + " Qwen3MoeForCausalLM (qwen3_moe)"),
        e.getMessage());
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "",
        "[]",
        "7",
        "null",
        "{",
        "{\"model_type\": \"llama\"",
        "{\"model_type\": NaN}",
        "{\"a\": 1, \"a\": 2}",
        "{} {}",
        "<html>",
        "\u0000\u0000",
        "{\"a\":\"\n\"}"
      })
  void whatIsNotAJsonObjectIsRefusedInOneLine(String text) {
    InvalidInputException e = assertThrows(InvalidInputException.class, () -> read(text));
    assertEquals(1, e.getMessage().lines().count(), e.getMessage());
    assertTrue(e.getMessage().startsWith(folder.resolve("config.json") + ": "), e.getMessage());
  }

  @Test
  void hostileFilesAreRefusedWithoutExhaustingAnything() throws IOException {
    for (String text :
        List.of("[".repeat(200_000), "{\"a\":".repeat(200_000), "9".repeat(200_000))) {
      assertThrows(InvalidInputException.class, () -> read(text));
    }
    Path file = folder.resolve("config.json");
    Files.write(file, new byte[] {'{', '"', (byte) 0xff, (byte) 0xfe, '"', ':', '1', '}'});
    assertThrows(InvalidInputException.class, () -> ModelConfig.read(file, notices::add));
    Files.write(file, " ".repeat(17 << 20).getBytes(StandardCharsets.US_ASCII));
    assertThrows(InvalidInputException.class, () -> ModelConfig.read(file, notices::add));
  }

  @Test
  void aMissingFileAndAFolderAreNamed() {
    Path missing = folder.resolve("none/config.json");
    InvalidInputException e =
        assertThrows(InvalidInputException.class, () -> ModelConfig.read(missing));
    assertEquals(
        missing + ": is missing, expected the model's config.json beside its weights",
        e.getMessage());
    InvalidInputException f =
        assertThrows(InvalidInputException.class, () -> ModelConfig.read(folder));
    assertTrue(f.getMessage().contains(": is not a file"), f.getMessage());
  }

  @Test
  void aSymbolicLinkThatLeadsToNoFileIsSaidToBeOne() throws IOException {
    Path link = folder.resolve("config.json");
    for (String[] to :
        new String[][] {
          {"config.json", "that leads back to itself"},
          {"other.json", "that leads back to itself"},
          {"gone.json", "to what is not there"},
          {"file/gone.json", "that cannot be followed (Not a directory)"}
        }) {
      Files.writeString(folder.resolve("file"), "");
      Files.deleteIfExists(link);
      Files.createSymbolicLink(link, Path.of(to[0]));
      Files.deleteIfExists(folder.resolve("other.json"));
      Files.createSymbolicLink(folder.resolve("other.json"), Path.of("config.json"));
      InvalidInputException e =
          assertThrows(InvalidInputException.class, () -> ModelConfig.read(link));
      assertEquals(
          link
              + ": is a symbolic link "
              + to[1]
              + ", expected the model's config.json beside its weights",
          e.getMessage());
    }
  }

  @Test
  @Tag("golden")
  void everyFixtureOfAnArchitectureIsReadAndEveryOtherRefused() throws IOException {
    Path models = Shared.fixtures("models");
    int read = 0;
    int refused = 0;
    List<Path> folders;
    try (var paths = Files.list(models)) {
      folders = paths.filter(Files::isDirectory).sorted().toList();
    }
    for (Path model : folders) {
      Path json = model.resolve("config.json");
      String text = Files.readString(json);
      if (TinyModel.MODEL_TYPES.stream()
          .anyMatch(type -> text.contains("\"model_type\": \"" + type + "\""))) {
        ModelConfig config = ModelConfig.read(json, notices::add);
        assertEquals(
            config.headDim() / 2, RotaryFrequencies.of(config).inverseFrequencies().length);
        read++;
      } else {
        assertThrows(InvalidInputException.class, () -> ModelConfig.read(json, notices::add));
        refused++;
      }
    }
    System.out.println("model configurations: " + read + " read, " + refused + " refused");
    assertEquals(List.of(), notices);
    assertTrue(read > 0, "no configuration in " + models);
  }

  private ModelConfig parse(String fields) {
    String more = fields.isEmpty() ? "" : ", " + fields.replace('\'', '"');
    return read(
        "{\"architectures\": [\"LlamaForCausalLM\"], \"model_type\": \"llama\"" + more + "}");
  }

  private ModelConfig read(String json) {
    notices.clear();
    Path file = folder.resolve("config.json");
    try {
      Files.writeString(file, json);
    } catch (IOException e) {
      throw new java.io.UncheckedIOException(e);
    }
    return ModelConfig.read(file, notices::add);
  }
}
