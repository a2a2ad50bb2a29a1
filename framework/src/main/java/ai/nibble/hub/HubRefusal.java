package ai.nibble.hub;

import ai.nibble.InvalidInputException;
import java.io.IOException;
import java.net.http.HttpResponse;

/** What an answer other than the wanted one means, and what to do about it. */
final class HubRefusal {
  private static final long LONGEST_WAIT = 300;

  private final HubSettings settings;

  HubRefusal(HubSettings settings) {
    this.settings = settings;
  }

  /**
   * @return where trying again may help
   * @throws InvalidInputException where it does not
   */
  IOException of(HttpResponse<?> response, HubId id) {
    int status = response.statusCode();
    String code = response.headers().firstValue("X-Error-Code").orElse("");
    if (status == 429 || status == 408 || status >= 500) {
      return new HubException(
          status == 429
              ? "the hub says that there are too many requests (429); a token in HF_TOKEN allows"
                  + " more"
              : "the hub answers " + status,
          retryAfter(response));
    }
    String page = settings.endpoint() + "/" + id.repository();
    String what;
    if (code.equals("GatedRepo") || status == 403) {
      what =
          "is gated or private ("
              + status
              + "): accept its conditions at "
              + page
              + (settings.token().isPresent()
                  ? ", and use a token of an account that may read it"
                  : ", and set HF_TOKEN to a token of that account");
    } else if (code.equals("RevisionNotFound")) {
      what = "has no revision '" + id.wanted() + "' (404): see " + page + "/tree/main";
    } else if (code.equals("EntryNotFound")) {
      what = "lacks a file that it lists (404): try again, the repository may have just changed";
    } else if (status == 401) {
      what =
          settings.token().isPresent()
              ? "is not there, or the token is not accepted (401): check the name, and the token"
                  + " in HF_TOKEN or in the file that 'hf auth login' wrote"
              : "is not there, or needs a token (401): check the name, or set HF_TOKEN";
    } else if (status == 404) {
      what = "is not there (404): check the name and the revision at " + page;
    } else {
      what = "cannot be had: " + settings.endpoint() + " answers " + status;
    }
    throw new InvalidInputException(id + ": " + what);
  }

  private static long retryAfter(HttpResponse<?> response) {
    String value = response.headers().firstValue("Retry-After").orElse("0");
    return value.matches("\\d{1,9}") ? Math.min(LONGEST_WAIT, Long.parseLong(value)) : 0;
  }
}
