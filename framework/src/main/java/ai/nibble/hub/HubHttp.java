package ai.nibble.hub;

import ai.nibble.InvalidInputException;
import java.io.IOException;
import java.io.InputStream;
import java.net.InetAddress;
import java.net.URI;
import java.net.UnknownHostException;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.util.Objects;

/**
 * Requests to a hub. Redirects are followed by hand: the token goes to the endpoint's own host
 * alone, encryption is never given up on the way, and no server sends this machine to itself or
 * into a private network that the endpoint is not in.
 */
final class HubHttp {
  private static final int MAX_REDIRECTS = 5;
  private static final int HTTP_RANGE_NOT_SATISFIABLE = 416;

  private final HubSettings settings;
  private final HttpClient client;
  private final HubRefusal refusal;

  HubHttp(HubSettings settings) {
    this.settings = settings;
    this.refusal = new HubRefusal(settings);
    this.client =
        HttpClient.newBuilder()
            .version(HttpClient.Version.HTTP_1_1)
            .followRedirects(HttpClient.Redirect.NEVER)
            .connectTimeout(settings.patience().connect())
            .build();
  }

  /** An address of the endpoint's; {@code path} begins with a slash and is encoded. */
  URI uri(String path) {
    return URI.create(settings.endpoint() + path);
  }

  /**
   * Gets an answer with status 200 or 206, or 416 where a range was asked for.
   *
   * @param from the first byte wanted, 0 for all
   * @param id what is asked for, for messages
   * @return whose body the caller closes
   * @throws IOException where trying again may help
   * @throws InvalidInputException where it does not
   */
  HttpResponse<InputStream> get(URI uri, long from, HubId id)
      throws IOException, InterruptedException {
    URI at = uri;
    for (int hops = 0; hops <= MAX_REDIRECTS; hops++) {
      HttpRequest.Builder request = request(at).GET();
      if (from > 0) {
        request.header("Range", "bytes=" + from + "-");
      }
      HttpResponse<InputStream> response =
          client.send(request.build(), BodyHandlers.ofInputStream());
      int status = response.statusCode();
      boolean range = from > 0 && (status == 206 || status == HTTP_RANGE_NOT_SATISFIABLE);
      if (status == 200 || range) {
        return response;
      }
      response.body().close();
      if (!isRedirect(status)) {
        throw refusal.of(response, id);
      }
      at = next(at, response);
    }
    throw new InvalidInputException(
        id + ": " + settings.endpoint() + " redirects more than " + MAX_REDIRECTS + " times");
  }

  /**
   * Asks for the head of a file; redirects within the endpoint, of renamed repositories, are
   * followed, those to where the bytes lie are not: the first answer has what is wanted.
   */
  HttpResponse<Void> head(URI uri, HubId id) throws IOException, InterruptedException {
    URI at = uri;
    for (int hops = 0; hops <= MAX_REDIRECTS; hops++) {
      HttpRequest request = request(at).method("HEAD", HttpRequest.BodyPublishers.noBody()).build();
      HttpResponse<Void> response = client.send(request, BodyHandlers.discarding());
      int status = response.statusCode();
      boolean known = response.headers().firstValue("X-Linked-Etag").isPresent();
      if (status == 200 || isRedirect(status) && known) {
        return response;
      }
      if (!isRedirect(status)) {
        throw refusal.of(response, id);
      }
      at = next(at, response);
    }
    throw new InvalidInputException(
        id + ": " + settings.endpoint() + " redirects more than " + MAX_REDIRECTS + " times");
  }

  private HttpRequest.Builder request(URI uri) {
    HttpRequest.Builder request =
        HttpRequest.newBuilder(uri)
            .timeout(settings.patience().connect())
            .header("User-Agent", "nibble")
            .header("Accept-Encoding", "identity");
    if (isEndpoint(uri)) {
      settings.token().ifPresent(token -> request.header("Authorization", token.header()));
    }
    return request;
  }

  private boolean isEndpoint(URI uri) {
    URI endpoint = settings.endpoint();
    return endpoint.getScheme().equals(uri.getScheme())
        && endpoint.getHost().equalsIgnoreCase(uri.getHost())
        && endpoint.getPort() == uri.getPort();
  }

  private static boolean isRedirect(int status) {
    return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
  }

  private URI next(URI from, HttpResponse<?> response) {
    String location = response.headers().firstValue("Location").orElse("");
    URI to;
    try {
      to = from.resolve(URI.create(location));
    } catch (IllegalArgumentException e) {
      to = null;
    }
    boolean encrypted = to != null && "https".equals(to.getScheme());
    boolean asBefore =
        to != null && "http".equals(to.getScheme()) && "http".equals(from.getScheme());
    if (location.isEmpty() || !(encrypted || asBefore) || to.getHost() == null || isInside(to)) {
      String where =
          to == null ? "an address that cannot be read" : to.getScheme() + "://" + to.getHost();
      throw new InvalidInputException(
          settings.endpoint() + ": redirects to " + RepoPath.shown(where) + ", refused");
    }
    return to;
  }

  /** Whether an address is of this machine or a private network, and the endpoint is not. */
  boolean isInside(URI uri) {
    if (Objects.equals(uri.getHost(), settings.endpoint().getHost())) {
      return false;
    }
    try {
      InetAddress[] targets = InetAddress.getAllByName(uri.getHost());
      InetAddress endpoint = InetAddress.getByName(settings.endpoint().getHost());
      for (InetAddress target : targets) {
        boolean allowed =
            target.isLoopbackAddress()
                ? endpoint.isLoopbackAddress()
                : !isPrivate(target) || isPrivate(endpoint) || endpoint.isLoopbackAddress();
        if (!allowed || target.isLinkLocalAddress() || target.isAnyLocalAddress()) {
          return true;
        }
      }
      return false;
    } catch (UnknownHostException e) {
      return false; // a proxy may know it; else connecting says so
    }
  }

  /** 10/8, 172.16/12, 192.168/16, and fc00::/7 of IPv6. */
  private static boolean isPrivate(InetAddress address) {
    byte[] bytes = address.getAddress();
    return address.isSiteLocalAddress() || bytes.length == 16 && (bytes[0] & 0xfe) == 0xfc;
  }
}
