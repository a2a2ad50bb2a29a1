/* llama.cpp's logits of every position, as ai.nibble.bench.Logits writes them, or its greedy answer.
 *
 *   llama_cpp logits MODEL.gguf IDS OUT [LORA.gguf]
 *   llama_cpp greedy MODEL.gguf IDS TOKENS [LORA.gguf]     ids of the answers on standard output
 *
 * IDS: token ids of one sequence a line. GGML_DIR: where libggml-cpu-*.so lie.
 */
#include "ggml-backend.h"
#include "llama.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST 2048

static struct llama_context *context;
static int vocabulary_size;

static void warnings(enum ggml_log_level level, const char *text, void *unused) {
  (void)unused;
  if (level >= GGML_LOG_LEVEL_WARN) fputs(text, stderr);
}

static void require(int condition, const char *what) {
  if (!condition) {
    fprintf(stderr, "llama.cpp cannot %s\n", what);
    exit(1);
  }
}

/* Logits of all positions, or of the last alone. */
static void decode(const int *ids, int n, int all) {
  struct llama_batch batch = llama_batch_init(n, 0, 1);
  batch.n_tokens = n;
  for (int i = 0; i < n; i++) {
    batch.token[i] = ids[i];
    batch.pos[i] = i;
    batch.n_seq_id[i] = 1;
    batch.seq_id[i][0] = 0;
    batch.logits[i] = all || i == n - 1;
  }
  llama_memory_clear(llama_get_memory(context), true);
  require(llama_decode(context, batch) == 0, "decode");
  llama_batch_free(batch);
}

static void greedy(const struct llama_vocab *vocabulary, int tokens) {
  for (int k = 0; k < tokens; k++) {
    const float *logits = llama_get_logits_ith(context, -1);
    llama_token best = 0;
    for (int i = 1; i < vocabulary_size; i++) {
      if (logits[i] > logits[best]) best = i;
    }
    if (llama_vocab_is_eog(vocabulary, best)) break;
    printf("%d ", best);
    require(llama_decode(context, llama_batch_get_one(&best, 1)) == 0, "decode");
  }
  printf("\n");
}

int main(int count, char **args) {
  require(count >= 5, "do without: logits|greedy MODEL IDS OUT|TOKENS [LORA]");
  llama_log_set(warnings, NULL);
  ggml_backend_load_all_from_path(getenv("GGML_DIR"));
  struct llama_model *model =
      llama_model_load_from_file(args[2], llama_model_default_params());
  require(model != NULL, "load the model");
  const struct llama_vocab *vocabulary = llama_model_get_vocab(model);
  vocabulary_size = llama_vocab_n_tokens(vocabulary);
  struct llama_context_params params = llama_context_default_params();
  params.n_ctx = params.n_batch = MOST;
  params.n_threads = params.n_threads_batch = 2;
  context = llama_init_from_model(model, params);
  require(context != NULL, "make a context");
  if (count > 5) {
    struct llama_adapter_lora *adapter = llama_adapter_lora_init(model, args[5]);
    float one = 1;
    require(adapter && llama_set_adapters_lora(context, &adapter, 1, &one) == 0, "take the LoRA");
  }
  int all = strcmp(args[1], "logits") == 0;
  FILE *in = fopen(args[3], "r");
  FILE *out = all ? fopen(args[4], "wb") : NULL;
  require(in && (out || !all), "open the files");
  static char line[MOST * 8];
  while (fgets(line, sizeof line, in)) {
    int ids[MOST], n = 0;
    for (char *id = strtok(line, " \n"); id && n < MOST; id = strtok(NULL, " \n")) {
      ids[n++] = atoi(id);
    }
    decode(ids, n, all);
    if (all) {
      for (int i = 0; i < n; i++) {
        fwrite(llama_get_logits_ith(context, i), sizeof(float), vocabulary_size, out);
      }
    } else {
      greedy(vocabulary, atoi(args[4]));
    }
  }
  require(out == NULL || fclose(out) == 0, "write");
  return 0;
}
