await fetch("https://a/", {
  "headers": {
    "x-twenty-webhook-timestamp": "1790932471733",
    "x-twenty-webhook-signature": "0a9ffd5f244646c296224f37b29765086ecd55cf1b2c7b0de3432b7134e66276"
  },
  "body": "{\"eventName\":\"person.created\",\"record\":{\"id\":\"1\",\"name\":{\"firstName\":\"Zoë\",\"lastName\":\"O'Neil\"},\"x\":\"a\\\"b\"}}",
  "method": "POST"
});
